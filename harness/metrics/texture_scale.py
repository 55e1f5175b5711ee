"""Size of the structures that stylization adds.

Source: the inverse of the spectral centroid, the mean frequency weighted with power, of the change
    in luma under a Hann window. It measures the statement that earlier style layers give finer
    texture (Gatys et al. 2016, figure 1).
Blind to: the amplitude of the change, down to rounding noise, which is fine; its origin, because
    lost contrast of the content counts with the content's coarse scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from harness.metrics._spectrum import power
from harness.metrics.ssim import luma
from harness.protocols import Metric, Unavailable
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("texture_scale")
@dataclass(frozen=True, kw_only=True)
class TextureScale(Metric):
    """Mean spatial period; 2.6 for white noise, the period itself for a grating."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "pixels"
    better: ClassVar[Literal["neither"]] = "neither"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # twice the just noticeable difference of gratings, about 5 %

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the inverse of the mean frequency."""
        change = power(luma(stylized) - luma(content))
        change[0, 0] = 0  # remainder of the mean after windowing
        down, right = (np.fft.fftfreq(edge) for edge in change.shape)
        moment = float((np.hypot(down[:, None], right) * change).sum())
        if moment == 0:
            raise Unavailable("stylized image and content differ in brightness at most")
        return float(change.sum()) / moment
