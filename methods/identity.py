"""Anchor: the content image itself, untouched. It wins every score of content preservation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.protocols import Method
from harness.registry import METHODS

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Stylizer


@METHODS.register("identity")
@dataclass(frozen=True, kw_only=True)
class Identity(Method):
    """Do nothing. Any method that scores worse on style than this has done harm."""

    version: ClassVar[int] = 1
    anchor: ClassVar[bool] = True

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Learn nothing."""
        return lambda content, context: content.clone()
