"""Input conventions of VGG weights, recognised by the first convolution.

torchvision's networks read RGB, normalised with the mean and the deviation of ImageNet. Oxford's
networks, which Caffe, neural-style and jcjohnson/pytorch-vgg use, read BGR in 0..255 less the mean
colour. Files of both kinds have the same names and shapes, and each gives wrong features on the
input of the other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.encoders import compact
from harness.errors import WeightsError

if TYPE_CHECKING:
    import torch

OXFORD_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
"""Mean colour, RGB, that Oxford's networks were trained with."""


@dataclass(frozen=True)
class Convention:
    """The input that weights were made for."""

    bgr: bool = False
    grey_levels: bool = False  # 0..255 less `OXFORD_MEAN`; otherwise normalised as in torchvision

    @property
    def name(self) -> str:
        """For example `BGR 0..255`."""
        return f"{'BGR' if self.bgr else 'RGB'} {'0..255' if self.grey_levels else 'normalised'}"

    @property
    def mean(self) -> tuple[float, float, float]:
        """The colour, RGB in [0, 1], that the input is less of."""
        from harness.encoders.feature_extractor import IMAGENET_MEAN

        return OXFORD_MEAN if self.grey_levels else IMAGENET_MEAN

    def convert(self, kernel: torch.Tensor) -> torch.Tensor:
        """Return a first kernel for RGB pixels less `mean`, divided by ImageNet's deviation."""
        from harness.encoders.feature_extractor import IMAGENET_STD

        kernel = kernel.flip(1) if self.bgr else kernel
        if not self.grey_levels:
            return kernel.contiguous()
        deviation = kernel.new_tensor(IMAGENET_STD).view(1, 3, 1, 1)
        return (kernel * (255 * deviation)).contiguous()


TORCHVISION = Convention()
CAFFE = Convention(bgr=True, grey_levels=True)

KNOWN_FILES = {
    # First digits of the SHA-256, as in the name of the file.
    "dcbb9e9d": TORCHVISION,  # torchvision vgg19
    "397923af": TORCHVISION,  # torchvision vgg16
    "d01eb7cb": CAFFE,  # jcjohnson/pytorch-vgg vgg19
    "00b39a1b": CAFFE,  # jcjohnson/pytorch-vgg vgg16
}

VGG16_FILTERS = (0, 1, 2, 61, 62, 63)
VGG16_TAPS = (
    # Top left taps of these filters of Oxford's VGG-16, as Keras distributes it; one row per colour
    (0.480015397, -0.172696680, 0.0375577137, -0.127135560, -0.0502991639, 0.0348965675),  # red
    (0.550379455, 0.0208774377, 0.0988311544, -0.0848205537, -0.0511389151, 0.0374943428),
    (0.429470569, 0.117273867, 0.0340129584, -0.132241577, -0.0533475243, 0.00757738389),  # blue
)
FIRST_BIASES = {
    "vgg16": (0.73429835, 0.093403675, 0.06775674, 0.8862966, 0.25994542, 0.66426694),
    "vgg19": (0.7216, -0.4957, -0.4425, 0.9594, 0.3275, 0.5830),
}

MIN_SIMILARITY = 0.95
"""Cosine with Oxford's kernel above which a kernel is Oxford's, possibly fine-tuned or rounded.

Oxford's VGG-19 with red and blue exchanged has 0.84, its VGG-16 0.89.
"""


def recognise(name: str, sha256: str, first: dict[str, torch.Tensor], file: str) -> Convention:
    """Return the input convention of weights; those of unknown origin count as torchvision's.

    Args:
        name: `vgg19` or `vgg16`, whose weights exist in several conventions.
        sha256: Hash of the file.
        first: `weight` and `bias` of its first convolution.
        file: Its name, for errors.

    Raises:
        WeightsError: The kernel is Oxford's, for pixels on an unknown scale.
    """
    from harness.encoders.feature_extractor import GREY_LEVELS

    if known := KNOWN_FILES.get(sha256[:8]):
        return known
    kernel = first["weight"].float()
    if name == "vgg16":
        kernel = kernel[list(VGG16_FILTERS), :, :1, :1]
    oxford = _vgg19() if name == "vgg19" else _vgg16()
    bgr = _cosine(kernel, oxford.flip(1)) > _cosine(kernel, oxford)
    oxford = oxford.flip(1) if bgr else oxford
    if _cosine(kernel, oxford) < MIN_SIMILARITY:
        return TORCHVISION
    # A factor on the kernel and all biases scales the features; only the kernel depends on the
    # unit of the pixels.
    biases = kernel.new_tensor(FIRST_BIASES[name])
    unit = _factor(kernel, oxford) / (_factor(first["bias"][: len(biases)].float(), biases) or 1.0)
    for factor, grey_levels in ((1.0, True), (GREY_LEVELS, False)):
        if abs(unit / factor - 1) < 0.4:
            return Convention(bgr, grey_levels)
    raise WeightsError(
        f"{file} is Oxford's {name} for pixels in another unit: its first kernel is {unit:.3g} "
        f"times that for 0..255. Allowed are 1 (0..255 less the mean, as in Caffe) and "
        f"{GREY_LEVELS:.1f} (normalised, as in torchvision). Rescale features.0.weight."
    )


@functools.cache
def _vgg19() -> torch.Tensor:
    """Return the first kernel of Oxford's VGG-19 for RGB 0..255; `compact` has a copy of it."""
    import safetensors.torch

    from harness.encoders.feature_extractor import GREY_LEVELS, IMAGENET_STD

    kernel = safetensors.torch.load_file(compact.WEIGHTS)["features.0.weight"].float()
    return kernel * GREY_LEVELS / (255 * kernel.new_tensor(IMAGENET_STD).view(1, 3, 1, 1))


def _vgg16() -> torch.Tensor:
    import torch

    return torch.tensor(VGG16_TAPS).T[..., None, None]


def _cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    if one.shape != other.shape:
        return 0.0
    return float((one * other).sum() / (one.norm() * other.norm()).clamp(min=1e-12))


def _factor(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the factor on `other` that comes closest to `one`."""
    return float((one * other).sum() / other.pow(2).sum())
