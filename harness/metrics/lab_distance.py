"""Distance of the stylized image's colours to the style's.

Source: 1-Wasserstein distance (Rubner, Tomasi, Guibas 2000, "The Earth Mover's Distance") of each
    channel's distribution in CIELAB (D65, from scikit-image), computed exactly from quantiles.
Blind to: the positions of colours; combinations of L, a and b; texture. A transfer of colours alone
    is sufficient for a low score, as `color_match` shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.metrics._per_image_cache import cached_per_image
from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("lab_distance")
@dataclass(frozen=True, kw_only=True)
class LabDistance(Metric):
    """Mean over L, a and b; 0 has the style's colours in the style's proportions."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "Lab units"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 1.0
    """The just noticeable difference of 2.3 (Mahy et al. 1994) changes the mean by 0.8 if it is in
    one channel, and by 1.3 if it is in all."""

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean distance; black and white differ by 100 in L."""
        return wasserstein(_sorted_lab(stylized), _cached_sorted_lab(style))


def wasserstein(one: Any, other: Any) -> float:
    """Return the mean 1-Wasserstein distance of rows of sorted numbers (rows, n) and (rows, m).

    The quantile functions are step functions, constant between the steps of both.
    """
    n, m = one.shape[1], other.shape[1]
    if n == m:
        return float(np.abs(one - other).mean())
    widths, left, right = _intervals(n, m)
    return float(np.mean(np.abs(one[:, left] - other[:, right]) @ widths))


@lru_cache(maxsize=2)
def _intervals(n: int, m: int) -> tuple[Any, Any, Any]:
    """Return the widths of the intervals between steps, and their indices into n and m numbers."""
    # In units of 1 / (n * m), all steps are integers.
    steps = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    return np.diff(steps, prepend=0) / (n * m), (steps - 1) // m, (steps - 1) // n


def _sorted_lab(image: Image) -> Any:
    """Return L, a and b of all pixels (3, H x W), each row sorted."""
    from skimage.color import rgb2lab

    lab = rgb2lab(image[0].permute(1, 2, 0).double().cpu().numpy())
    return np.sort(lab.reshape(-1, 3).T)


_cached_sorted_lab = cached_per_image(_sorted_lab)
