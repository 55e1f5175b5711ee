"""The structure term of SSIM, without luminance and contrast.

Source: Wang, Bovik, Sheikh, Simoncelli 2004, equation 10 with C3 = C2 / 2; window and settings as
    in `ssim.py`.
Blind to: style; contrast and brightness, by design: recolouring that preserves the order of light
    and dark does not change the score. Areas that are flat in both images score 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.metrics.ssim import K2, SIGMA, WINDOW, check_size, luma
from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image

C3 = K2**2 / 2
RADIUS = WINDOW // 2


@METRICS.register("ssim_structure")
@dataclass(frozen=True, kw_only=True)
class SsimStructure(Metric):
    """Mean of the structure term of the luma in [-1, 1]; 1 is the content."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["higher"]] = "higher"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.02  # as for SSIM, of which it is a factor

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean over all positions with the window inside the image."""
        check_size(content)
        inside = slice(RADIUS, -RADIUS)
        return float(structure(luma(stylized), luma(content))[inside, inside].mean())


def structure(one: Any, other: Any) -> Any:
    """Return the structure term (H, W) of two planes in [0, 1]."""
    mean, other_mean = _blur(one), _blur(other)
    covariance = _blur(one * other) - mean * other_mean
    variance = (_blur(one * one) - mean**2).clip(min=0)  # negative only by rounding
    other_variance = (_blur(other * other) - other_mean**2).clip(min=0)
    return (covariance + C3) / (np.sqrt(variance * other_variance) + C3)


def _blur(plane: Any) -> Any:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(plane, SIGMA, radius=RADIUS)
