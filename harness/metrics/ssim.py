"""Structural similarity of the stylized image and its content image.

Source: Wang, Bovik, Sheikh, Simoncelli 2004, IEEE TIP 13(4): Gaussian window 11 x 11, sigma 1.5,
    K = 0.01 and 0.03, population covariance; computed by scikit-image.
Blind to: style; intended recolouring counts as an error: half the contrast costs up to 0.28. The
    unchanged photograph scores 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.protocols import Metric, Unavailable
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image

WINDOW, SIGMA = 11, 1.5  # pixels
K2 = 0.03


@METRICS.register("ssim")
@dataclass(frozen=True, kw_only=True)
class Ssim(Metric):
    """Mean SSIM of the luma (0.299 R + 0.587 G + 0.114 B) in [-1, 1]; 1 is the content."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["higher"]] = "higher"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.02  # half the contrast, clearly visible, costs 0.13

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean over the image."""
        from skimage.metrics import structural_similarity

        check_size(content)
        return float(
            structural_similarity(  # type: ignore[no-untyped-call]
                luma(stylized),
                luma(content),
                gaussian_weights=True,
                sigma=SIGMA,
                use_sample_covariance=False,
                K2=K2,
                data_range=1.0,
            )
        )


def check_size(content: Image) -> None:
    """Raise Unavailable if the image is smaller than the window."""
    if min(content.shape[-2:]) < WINDOW:
        raise Unavailable(f"SSIM needs at least {WINDOW} x {WINDOW} pixels")


def luma(image: Image) -> Any:
    """Return the luma of ITU-R BT.601 as a float64 array (H, W) in [0, 1]."""
    red, green, blue = image[0].double().cpu().numpy()
    return 0.299 * red + 0.587 * green + 0.114 * blue
