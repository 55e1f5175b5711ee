"""The image transformation network: 9x9, two strides down, five residuals, two up, 9x9.

Source: Johnson, Alahi, Fei-Fei 2016 (arXiv 1603.08155), supplementary material; layers and names
    as in pytorch/examples @77f55b9, fast_neural_style/neural_style/transformer_net.py:4-99.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.protocols import Image
from methods._deterministic_padding import reflected
from methods._fast_convolutions import convolve_to_few, enlarge_and_convolve
from methods._recipes import NetworkRecipe, Norm, Padding, channels

KERNELS = {"conv_transpose": 3, "conv_transpose_k4": 4, "conv_transpose_k2": 2}
STRIDE = 4
"""The network halves sizes twice. Images of other sizes are padded, and the result is cropped."""


def _norm(kind: Norm, channels: int) -> nn.Module:
    # All kinds are affine with the same epsilon, so that they differ only in their statistics.
    # torch's InstanceNorm has no weights by default.
    if kind == "instance":
        return InstanceNorm(channels, affine=True)
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.Identity()


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalisation as batch normalisation of single images.

    The results are those of torch's own, which reshapes the batch to one image and thereby loses
    the channels_last layout. On two cores in bfloat16 this takes a third of the time, forward and
    backward.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        weights = (None, None, self.weight, self.bias)
        alone = [F.batch_norm(one, *weights, training=True, eps=self.eps) for one in x.split(1)]
        return alone[0] if len(alone) == 1 else torch.cat(alone)


class Convolution(nn.Module):
    """A padded convolution: the output has the size of the input over the stride."""

    def __init__(
        self, inward: int, out: int, kernel: int, padding: Padding, stride: int = 1
    ) -> None:
        super().__init__()
        self.edge, self.padding = kernel // 2, padding
        self.conv = nn.Conv2d(inward, out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inward, H, W) to (N, out, H/stride, W/stride), in the type of `x`."""
        weight, bias = _like(x, self.conv)
        return F.conv2d(_padded(x, self.edge, self.padding), weight, bias, self.conv.stride)


class LastConvolution(Convolution):
    """The convolution to the three colour channels, with float32 output."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inward, H, W) to float32 (N, 3, H, W)."""
        x = _padded(x, self.edge, self.padding)
        assert self.conv.bias is not None
        image = convolve_to_few(x, self.conv.weight.to(x.dtype))
        return image + self.conv.bias[:, None, None]


class Block(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, convolution: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the output shape of the convolution."""
        return F.relu(self.norm(self.convolution(x)))


class Residual(nn.Module):
    """Two convolutions whose result is added to their input, without a ReLU after the sum."""

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
    """Upsample by two and convolve: no overlap, so no checkerboard (Odena et al. 2016)."""

    def __init__(self, inward: int, out: int, padding: Padding, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self.convolution = Convolution(inward, out, 3, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inward, H, W) to (N, out, 2H, 2W)."""
        if self.mode == "bilinear":
            enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            out: Tensor = self.convolution(enlarged)
            return out
        # Outermost pixels are pairs after upsampling, so reflection by one replicates the edge.
        edges: Padding = "zero" if self.convolution.padding == "zero" else "replicate"
        return enlarge_and_convolve(_padded(x, 1, edges), *_like(x, self.convolution.conv))


class TransposedConv(nn.ConvTranspose2d):
    """Johnson's stride-1/2 convolution; uneven overlap of its kernels causes checkerboards.

    A kernel of 3 overlaps unevenly, one of 4 or 2 evenly (Odena et al. 2016).
    """

    def __init__(self, inward: int, out: int, kernel: int) -> None:
        edge = (kernel - 1) // 2
        super().__init__(inward, out, kernel, 2, padding=edge, output_padding=kernel % 2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map (N, inward, H, W) to (N, out, 2H, 2W)."""
        weight, bias = _like(x, self)
        padding, rest = self.padding, self.output_padding
        return F.conv_transpose2d(x, weight, bias, 2, padding, rest)  # type: ignore[arg-type]


class PixelShuffle(nn.Module):
    """Convolve to four channels per output channel, which become 2x2 pixels (Shi et al. 2016)."""

    def __init__(self, inward: int, out: int, padding: Padding) -> None:
        super().__init__()
        self.convolution = Convolution(inward, 4 * out, 3, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inward, H, W) to (N, out, 2H, 2W)."""
        return F.pixel_shuffle(self.convolution(x), 2)


class TransformerNet(nn.Module):
    """Map images to stylized images; 1,679,235 parameters at width 1.

    Parameters and normalisation statistics are float32; everything else runs in `dtype`.
    """

    def __init__(self, recipe: NetworkRecipe, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        narrow, middle, wide = channels(recipe.width)
        pad, kind = recipe.padding, recipe.norm

        def up(inward: int, out: int) -> nn.Module:
            if kernel := KERNELS.get(recipe.upsample):
                return TransposedConv(inward, out, kernel)
            if recipe.upsample == "pixel_shuffle":
                return PixelShuffle(inward, out, pad)
            return UpsampleConv(inward, out, pad, recipe.interpolation)

        self.down1 = Block(Convolution(3, narrow, 9, pad), _norm(kind, narrow))
        self.down2 = Block(Convolution(narrow, middle, 3, pad, stride=2), _norm(kind, middle))
        self.down3 = Block(Convolution(middle, wide, 3, pad, stride=2), _norm(kind, wide))
        self.residuals = nn.Sequential(*(Residual(wide, pad, kind) for _ in range(5)))
        self.up1 = Block(up(wide, middle), _norm(kind, middle))
        self.up2 = Block(up(middle, narrow), _norm(kind, narrow))
        self.out = LastConvolution(narrow, 3, 9, pad)
        self.output = recipe.output

    def forward(self, image: Image) -> Image:
        """Return stylized images of the same size, not clamped. The layers work on 0..255."""
        height, width = image.shape[-2:]
        x = self.scale(self.pad(image))
        x = self.residuals(self.down3(self.down2(self.down1(x))))
        return self.paint(self.up2(self.up1(x)))[..., :height, :width]

    def pad(self, image: Image) -> Image:
        """Return an image whose edges are multiples of STRIDE, padded at the right and below."""
        down, right = -image.shape[-2] % STRIDE, -image.shape[-1] % STRIDE
        return F.pad(image, (0, right, 0, down), mode="reflect") if down or right else image

    def scale(self, image: Image) -> Tensor:
        """Return the input of the first layer."""
        return (image * 255).to(self.dtype, memory_format=torch.channels_last)

    def paint(self, x: Tensor) -> Image:
        """Return the image of the features before the last layer."""
        x = self.out(x)
        if self.output == "tanh150":
            x = 127.5 + 150 * torch.tanh(x)
        elif self.output == "centered":
            x = 127.5 * (1 + x)
        return x / 255


def _padded(x: Tensor, edge: int, padding: Padding) -> Tensor:
    if padding == "reflect" and torch.are_deterministic_algorithms_enabled():
        return reflected(x, edge)
    return F.pad(x, (edge,) * 4, mode="constant" if padding == "zero" else padding)


def _like(x: Tensor, module: nn.Conv2d | nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Return the weight and the bias of a module in the type of `x`."""
    assert module.bias is not None
    return module.weight.to(x.dtype), module.bias.to(x.dtype)
