"""Anchor: the unchanged content image. It has the best score of every content metric."""

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
    """Return the content. A method with a worse style score is harmful."""

    version: ClassVar[int] = 1
    anchor: ClassVar[bool] = True

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Return a function that copies the content."""
        return lambda content, context: content.clone()
