"""Size of the structures that stylization adds.

Source: inverse of the spectral centroid, the mean frequency weighted with power, of the change in
    luma under a Hann window. It tests the statement that earlier style layers give finer texture
    (Gatys et al. 2016, figure 1).
Blind to: the amplitude of the change: rounding noise alone scores as fine texture; its cause: lost
    contrast of the content counts with the coarse scale of the content.
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
        change[0, 0] = 0  # the window leaves a remainder of the mean
        down, right = (np.fft.fftfreq(edge) for edge in change.shape)
        moment = float((np.hypot(down[:, None], right) * change).sum())
        if moment == 0:
            raise Unavailable("the stylized image and the content differ in brightness at most")
        return float(change.sum()) / moment
