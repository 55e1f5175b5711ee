"""Standard deviation of the noise in the stylized image.

Source: Donoho, Johnstone 1994, Biometrika 81(3): median of the finest diagonal wavelet coefficients
    (Daubechies 2) divided by that of a unit normal, as in scikit-image's `estimate_sigma`, which
    requires PyWavelets.
Blind to: the cause of fine detail: brushwork and canvas count as noise. The content's noise is not
    subtracted; the method `identity` shows it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness.metrics.ssim import luma
from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image

ROOT_3 = math.sqrt(3)
DETAIL = np.array((-1 - ROOT_3, 3 + ROOT_3, -3 + ROOT_3, 1 - ROOT_3)) / math.sqrt(32)
"""Daubechies' high-pass filter with two vanishing moments: slopes do not count as noise."""

MIN_DETAIL = 1e-9
"""Smaller details are rounding errors in flat areas, for example clipped ones; scikit-image ignores
them too."""

NORMAL_MEDIAN = 0.6744897501960817
"""Median of the absolute value of a unit normal."""


@METRICS.register("noise_sigma")
@dataclass(frozen=True, kw_only=True)
class NoiseSigma(Metric):
    """Noise of the luma in grey levels of 0 to 255; photographs of scikit-image have 0.6 to 2.7."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "grey levels"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # ten times the variation of the estimate at 256 pixels

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the estimate; 0 if most of the image is flat or a slope."""
        details = np.abs(_details(_details(luma(stylized)).T))
        noise = details[details > MIN_DETAIL]
        return 255 * float(np.median(noise)) / NORMAL_MEDIAN if noise.size else 0.0


def _details(plane: Any) -> Any:
    """Return every second detail coefficient along the first axis, with mirrored borders."""
    padded = np.pad(plane, ((3, 3), (0, 0)), mode="symmetric")
    count = (len(plane) + 3) // 2
    return sum(
        weight * padded[4 - lag : 4 - lag + 2 * count - 1 : 2] for lag, weight in enumerate(DETAIL)
    )
