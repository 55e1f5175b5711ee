"""Distance of the stylized image's colours to the style's.

Source: 1-Wasserstein distance (Rubner, Tomasi, Guibas 2000, "The Earth Mover's Distance") of each
    channel's distribution in CIELAB (D65, by scikit-image), exact: how far quantiles are apart.
Blind to: where colours are, and which of L, a and b go together; texture altogether: matching
    colours wins it (`color_match` all but).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.metrics._per_image_cache import once_per_image
from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("lab_distance")
@dataclass(frozen=True, kw_only=True)
class LabDistance(Metric):
    """Mean over L, a and b; 0 is the style's palette in the style's proportions."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "Lab units"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 1.0
    """What the eye just tells apart, 2.3 (Mahy et al. 1994), makes 0.8 on the mean where it is in
    one channel and 1.3 where it is in all."""

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean distance, in units of which black and white are 100 apart."""
        return wasserstein(_colours(stylized), _colours_of_style(style))


def wasserstein(one: Any, other: Any) -> float:
    """Return the mean 1-Wasserstein distance of rows of numbers, sorted ascending (rows, n or m).

    The quantiles of n and m numbers are stairs; between the steps of both, they are constant.
    """
    n, m = one.shape[1], other.shape[1]
    if n == m:
        return float(np.abs(one - other).mean())
    widths, left, right = _stairs(n, m)
    return float(np.mean(np.abs(one[:, left] - other[:, right]) @ widths))


@lru_cache(maxsize=2)
def _stairs(n: int, m: int) -> tuple[Any, Any, Any]:
    """Return how wide each piece between steps is, and which of n and of m numbers it is at."""
    steps = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in 1/nm, so exact
    return np.diff(steps, prepend=0) / (n * m), (steps - 1) // m, (steps - 1) // n


def _colours(image: Image) -> Any:
    """Return L, a and b of all pixels, each sorted (3, H x W)."""
    from skimage.color import rgb2lab

    lab = rgb2lab(image[0].permute(1, 2, 0).double().cpu().numpy())
    return np.sort(lab.reshape(-1, 3).T)


_colours_of_style = once_per_image(_colours)
