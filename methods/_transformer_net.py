"""The image transformation network: 9x9, two strides down, five residuals, two up, 9x9.

Source: Johnson, Alahi, Fei-Fei 2016 (arXiv 1603.08155), supplementary material; layers and names
    as in pytorch/examples @77f55b9, fast_neural_style/neural_style/transformer_net.py:4-99.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.protocols import Image

if TYPE_CHECKING:
    from methods.johnson import Johnson

Padding = Literal["reflect", "zero", "replicate"]
Norm = Literal["instance", "batch", "none"]
STRIDE = 4
"""The network works on sizes that two halvings divide; others are padded and cropped back."""


def _norm(kind: Norm, channels: int) -> nn.Module:
    # All affine and with one epsilon, so that kinds differ in their statistics alone; torch's own
    # default would leave InstanceNorm without weights.
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.Identity()


class Convolution(nn.Module):
    """A convolution that keeps the size (over its stride), padded as asked."""

    def __init__(
        self, inward: int, out: int, kernel: int, padding: Padding, stride: int = 1
    ) -> None:
        super().__init__()
        self.edge, self.padding = kernel // 2, padding
        self.conv = nn.Conv2d(inward, out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inward, H, W) to (N, out, H/stride, W/stride)."""
        mode = "constant" if self.padding == "zero" else self.padding
        out: Tensor = self.conv(F.pad(x, (self.edge,) * 4, mode=mode))
        return out


class Block(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to what the convolution makes of it."""
        return F.relu(self.norm(self.convolution(x)))


class Residual(nn.Module):
    """Two convolutions whose result is added to their input; no ReLU after the sum."""

    def __init__(self, channels: int, padding: Padding, norm: Norm) -> None:
        super().__init__()
        self.first = Block(Convolution(channels, channels, 3, padding), _norm(norm, channels))
        self.second = Convolution(channels, channels, 3, padding)
        self.norm = _norm(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        out: Tensor = x + self.norm(self.second(self.first(x)))
        return out


class UpsampleConv(nn.Module):
    """Enlarge twice, then convolve: no overlap, so no checkerboard (Odena et al. 2016)."""

    def __init__(self, inward: int, out: int, padding: Padding, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.convolution = Convolution(inward, out, 3, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inward, H, W) to (N, out, 2H, 2W)."""
        smooth = {"mode": "bilinear", "align_corners": False} if self.mode == "bilinear" else {}
        out: Tensor = self.convolution(F.interpolate(x, scale_factor=2, **smooth))  # type: ignore[arg-type]
        return out


class TransformerNet(nn.Module):
    """Maps Images to stylized Images in one pass; 1,679,235 parameters at width 1."""

    def __init__(self, recipe: Johnson) -> None:
        super().__init__()
        narrow, middle, wide = (max(1, round(c * recipe.width)) for c in (32, 64, 128))
        pad, kind = recipe.padding, recipe.norm

        def up(inward: int, out: int) -> nn.Module:
            if recipe.upsample == "conv_transpose":
                return nn.ConvTranspose2d(inward, out, 3, stride=2, padding=1, output_padding=1)
            return UpsampleConv(inward, out, pad, recipe.interpolation)

        self.down1 = Block(Convolution(3, narrow, 9, pad), _norm(kind, narrow))
        self.down2 = Block(Convolution(narrow, middle, 3, pad, stride=2), _norm(kind, middle))
        self.down3 = Block(Convolution(middle, wide, 3, pad, stride=2), _norm(kind, wide))
        self.residuals = nn.Sequential(*(Residual(wide, pad, kind) for _ in range(5)))
        self.up1 = Block(up(wide, middle), _norm(kind, middle))
        self.up2 = Block(up(middle, narrow), _norm(kind, narrow))
        self.out = Convolution(narrow, 3, 9, pad)
        self.output = recipe.output

    def forward(self, image: Image) -> Image:
        """Return the stylized image, same size, not clamped. Grey levels inside, [0, 1] outside."""
        height, width = image.shape[-2:]
        x = _pad_to_stride(image) * 255
        x = self.residuals(self.down3(self.down2(self.down1(x))))
        x = self.out(self.up2(self.up1(x)))
        if self.output == "tanh150":
            x = 127.5 + 150 * torch.tanh(x)
        elif self.output == "centered":
            x = 127.5 * (1 + x)
        return x[..., :height, :width] / 255


def _pad_to_stride(image: Image) -> Image:
    down, right = -image.shape[-2] % STRIDE, -image.shape[-1] % STRIDE
    return F.pad(image, (0, right, 0, down), mode="reflect") if down or right else image


EXAMPLES_NAMES = (
    # pytorch/examples' names -> ours.
    (r"^conv([123])\.conv2d\.", r"down\1.convolution.conv."),
    (r"^in([123])\.", r"down\1.norm."),
    (r"^res(\d)\.conv1\.conv2d\.", lambda m: f"residuals.{int(m[1]) - 1}.first.convolution.conv."),
    (r"^res(\d)\.in1\.", lambda m: f"residuals.{int(m[1]) - 1}.first.norm."),
    (r"^res(\d)\.conv2\.conv2d\.", lambda m: f"residuals.{int(m[1]) - 1}.second.conv."),
    (r"^res(\d)\.in2\.", lambda m: f"residuals.{int(m[1]) - 1}.norm."),
    (r"^deconv([12])\.conv2d\.", r"up\1.convolution.convolution.conv."),
    (r"^in([45])\.", lambda m: f"up{int(m[1]) - 3}.norm."),
    (r"^deconv3\.conv2d\.", r"out.conv."),
)


def from_examples(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Translate a checkpoint of pytorch/examples to our names.

    Returns:
        The tensors, and the names of those dropped: instance normalisation kept `running_*`
        statistics before PyTorch 0.4 and never used them.
    """
    kept: dict[str, Tensor] = {}
    dropped: list[str] = []
    for name, tensor in tensors.items():
        name = name.removeprefix("module.")
        if re.search(r"running_(mean|var)$|num_batches_tracked$", name):
            dropped.append(name)
            continue
        for pattern, replacement in EXAMPLES_NAMES:
            name = re.sub(pattern, replacement, name)
        kept[name] = tensor
    return kept, dropped


def is_from_examples(tensors: dict[str, Tensor]) -> bool:
    """Tell a checkpoint of pytorch/examples from one of ours."""
    return any(name.removeprefix("module.").startswith("deconv3.") for name in tensors)
