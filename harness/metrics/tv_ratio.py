"""Roughness of the stylized image relative to the content.

Source: Rudin, Osher, Fatemi 1992, anisotropic total variation, as a mean over pixels and channels,
    independent of the image size.
Blind to: the cause of the roughness: brushwork, noise or a checkerboard. A style is often rougher
    than a photograph, so a higher value is not worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.protocols import Metric, Unavailable
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


ROUNDING = 2 / 3 / 255
"""Total variation of rounding to 8 bits: a third of a grey level vertically and horizontally, the
mean difference of two numbers between -0.5 and 0.5. A smaller one is not the content's own."""


@METRICS.register("tv_ratio")
@dataclass(frozen=True, kw_only=True)
class TvRatio(Metric):
    """1 is as rough as the content; lower is smoother."""

    version: ClassVar[int] = 2
    unit: ClassVar[str] = "relative to content image"
    better: ClassVar[Literal["neither"]] = "neither"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # as for losses, which contain a TV term

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the ratio of the two total variations."""
        content_variation = total_variation(content)
        if content_variation < ROUNDING:
            raise Unavailable("the content image is flat, except for rounding to 8 bits")
        return total_variation(stylized) / content_variation


def total_variation(image: Image) -> float:
    """Return the mean absolute vertical plus horizontal difference, in [0, 2]."""
    return sum(float(image.diff(dim=axis).abs().mean()) for axis in (-2, -1))
