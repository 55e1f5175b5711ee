"""Standard deviation of the noise in the stylized image.

Source: Donoho, Johnstone 1994, Biometrika 81(3): median of the finest diagonal wavelet coefficients
    (Daubechies 2) over that of a unit normal; written out as in scikit-image's `estimate_sigma`,
    which needs PyWavelets.
Blind to: what is fine by intention: brushwork and canvas count as noise. The content's own is not
    taken off: `identity` says what it is.
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
"""Daubechies' high-pass filter with two vanishing moments: slopes are no noise."""

FLAT = 1e-9
"""Details below are rounding: clipped areas are left out, as scikit-image does if they are 0."""

NORMAL_MEDIAN = 0.6744897501960817
"""Half of all unit normal numbers lie closer to 0 than this."""


@METRICS.register("noise_sigma")
@dataclass(frozen=True, kw_only=True)
class NoiseSigma(Metric):
    """Of the luma, in grey levels of 0 to 255; photographs here have 0.6 to 2.7."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "grey levels"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # ten times what the estimate itself varies by at 256 pixels

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the estimate; 0 where most of the image is flat or a slope."""
        details = np.abs(_details(_details(luma(stylized)).T))
        there = details[details > FLAT]
        return 255 * float(np.median(there)) / NORMAL_MEDIAN if there.size else 0.0


def _details(plane: Any) -> Any:
    """Return every second of the details along the first axis, the border mirrored."""
    padded = np.pad(plane, ((3, 3), (0, 0)), mode="symmetric")
    count = (len(plane) + 3) // 2
    return sum(
        weight * padded[4 - lag : 4 - lag + 2 * count - 1 : 2] for lag, weight in enumerate(DETAIL)
    )
