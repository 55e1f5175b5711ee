"""Share of the image that a method left to the clamp.

Source: none; counted on what the method returned, before it is clamped and rounded.
Blind to: how far outside a pixel was, and whether it shows: clipped highlights may be wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image

ROUNDING = 1e-5
"""float32's own: an average of white pixels may be as much above 1."""


@METRICS.register("gamut")
@dataclass(frozen=True, kw_only=True)
class Gamut(Metric):
    """Share of pixels outside [0, 1] in any channel; 5 to 11 % is usual after optimisation."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "of pixels"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    before_clamping: ClassVar[bool] = True
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.01  # a tenth of what is usual

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the share, in [0, 1]."""
        return share_outside(stylized)


def share_outside(image: Image) -> float:
    """Return the share of pixels outside [0, 1] in any channel."""
    outside = (image < -ROUNDING) | (image > 1 + ROUNDING)
    return float(outside.any(1).float().mean())
