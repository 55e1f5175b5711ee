"""Roughness of the stylized image in units of the content's.

Source: Rudin, Osher, Fatemi 1992, anisotropic total variation, as a mean over pixels and channels:
    a sum would grow with the image.
Blind to: what the roughness is, brushwork, noise or a checkerboard; a wanted style is often rougher
    than any photograph, so more is not worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.protocols import Metric, Unavailable
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("tv_ratio")
@dataclass(frozen=True, kw_only=True)
class TvRatio(Metric):
    """1 is as rough as the content, below is smoother."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "of content image's"
    better: ClassVar[Literal["neither"]] = "neither"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # as of a loss, which a regulariser of this form enters

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the ratio of the two total variations."""
        own = total_variation(content)
        if own == 0:
            raise Unavailable("the content image is flat")
        return total_variation(stylized) / own


def total_variation(image: Image) -> float:
    """Return the mean absolute forward difference down plus that to the right, in [0, 2]."""
    return sum(float(image.diff(dim=axis).abs().mean()) for axis in (-2, -1))
