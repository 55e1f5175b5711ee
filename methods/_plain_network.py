"""The transformer net in layers of torch alone, for export to other formats.

TransformerNet computes some layers in faster ways that exporters cannot follow: autograd functions,
loops over the images of a batch, shapes that branch. The results differ by rounding only.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.protocols import Image
from methods import _transformer_net as net
from methods._recipes import Padding

PADDING_MODES: dict[Padding, Literal["zeros", "reflect", "replicate"]] = {
    "zero": "zeros",
    "reflect": "reflect",
    "replicate": "replicate",
}


class PlainNetwork(nn.Module):
    """A TransformerNet in float32 on the CPU, in eval mode, for images of any size from 8 pixels.

    Maps (N, 3, H, W), sRGB in [0, 1], to the same shape, not clamped.
    """

    def __init__(self, network: net.TransformerNet) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(_plain(part) for part in network.children()))
        self.output = network.output
        self.eval().requires_grad_(False)

    def forward(self, image: Image) -> Image:
        """Return stylized images."""
        height, width = image.shape[-2:]
        padding = (0, -width % net.STRIDE, 0, -height % net.STRIDE)
        x: Tensor = self.layers(F.pad(image, padding, mode="reflect") * 255)
        if self.output == "tanh150":
            x = 127.5 + 150 * torch.tanh(x)
        elif self.output == "centered":
            x = 127.5 * (1 + x)
        return x[..., :height, :width] / 255


class _Sum(nn.Module):
    """The sum of a branch and its input."""

    def __init__(self, *branch: nn.Module) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.branch(x)
        return total


def _plain(part: nn.Module) -> nn.Module:
    """Return a part of TransformerNet in layers of torch."""
    match part:
        case nn.Sequential():
            return nn.Sequential(*map(_plain, part))
        case net.Block():
            return nn.Sequential(_plain(part.convolution), _plain(part.norm), nn.ReLU())
        case net.Residual():
            return _Sum(_plain(part.first), _plain(part.second), _plain(part.norm))
        case net.UpsampleConv():
            return nn.Sequential(
                nn.Upsample(scale_factor=2, mode=part.mode), _plain(part.convolution)
            )
        case net.PixelShuffle():
            return nn.Sequential(_plain(part.convolution), nn.PixelShuffle(2))
        case net.Convolution():
            return _convolution(part)
        case net.TransposedConv():
            return _with_weights(
                nn.ConvTranspose2d(
                    part.in_channels,
                    part.out_channels,
                    part.kernel_size,  # type: ignore[arg-type]
                    part.stride,  # type: ignore[arg-type]
                    part.padding,  # type: ignore[arg-type]
                    part.output_padding,  # type: ignore[arg-type]
                ),
                part,
            )
        case nn.InstanceNorm2d():
            return _with_weights(nn.InstanceNorm2d(part.num_features, affine=True), part)
        case nn.BatchNorm2d():
            return _with_weights(nn.BatchNorm2d(part.num_features), part)
    return nn.Identity()


def _convolution(part: net.Convolution) -> nn.Module:
    conv = part.conv
    plain = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        padding=part.edge,
        padding_mode=PADDING_MODES[part.padding],
    )
    return _with_weights(plain, conv)


def _with_weights(plain: nn.Module, part: nn.Module) -> nn.Module:
    plain.load_state_dict(part.state_dict())
    return plain
