"""Size of the structures that the style brought in.

Source: one over the spectral centroid, the mean frequency weighted with power, here of the luma's
    change under a Hann window: earlier style layers are said to give finer texture (Gatys et al.
    2016, figure 1), and this measures it.
Blind to: how strong the change is, down to rounding, which is fine-grained; and whether it came
    from the style: a lost contrast of the content counts with the content's own, coarse scale.
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
    """Mean spatial period; white noise reads 2.6, a grating its own."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "pixels"
    better: ClassVar[Literal["neither"]] = "neither"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # twice what the eye tells apart in gratings, about 5 %

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return one over the mean frequency."""
        change = power(luma(stylized) - luma(content))
        change[0, 0] = 0  # what the window lets through of the mean
        down, right = (np.fft.fftfreq(edge) for edge in change.shape)
        moment = float((np.hypot(down[:, None], right) * change).sum())
        if moment == 0:
            raise Unavailable("nothing has changed but the brightness")
        return float(change.sum()) / moment
