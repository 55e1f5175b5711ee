"""Share of the pixels of a method's result that clamping changes.

Source: none; computed on the result before clamping and rounding.
Blind to: the distance of a pixel from [0, 1]; visibility, because clipped highlights may be
    intended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image

ROUNDING = 1e-5
"""Tolerance for float32: a mean of white pixels can exceed 1 by as much."""


@METRICS.register("gamut")
@dataclass(frozen=True, kw_only=True)
class Gamut(Metric):
    """Share of pixels outside [0, 1] in any channel; often 5 to 11 % after an optimisation."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "share of pixels"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    before_clamping: ClassVar[bool] = True
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.01  # a tenth of a typical value

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the share, in [0, 1]."""
        return share_outside(stylized)


def share_outside(image: Image) -> float:
    """Return the share of pixels outside [0, 1] in any channel."""
    outside = (image < -ROUNDING) | (image > 1 + ROUNDING)
    return float(outside.any(1).float().mean())
