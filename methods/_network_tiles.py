"""Run the transformer net on an image in tiles: the same image, in less memory.

The layers at full and at half resolution, which need most of the memory, run in tiles. Each tile
has a margin that covers the receptive field of these layers, so it needs no blending. The residual
blocks have a quarter of the resolution and run on the whole image. Instance normalisation uses the
mean and deviation of the whole image: they are summed over all tiles, layer by layer, before the
tiles are made. Statistics of single tiles would give each tile a contrast of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.protocols import Image
from methods._transformer_net import STRIDE, Block, InstanceNorm, TransformerNet

MARGIN = 16
"""Pixels around a tile; the layers on either side of the residual blocks need at most 14."""

Layer = Callable[[Tensor], Tensor]


def stylize(network: TransformerNet, image: Image, tile: int) -> Image:
    """Return the image (1, 3, H, W) that the network returns, up to rounding.

    Args:
        network: In eval mode.
        image: (1, 3, H, W).
        tile: Edge of the tiles in pixels; rounded to a multiple of the network's stride.
    """
    height, width = image.shape[-2:]
    edge = max(1, round(tile / STRIDE))
    down = [network.down1, network.down2, network.down3]
    whole = network.pad(image)
    x = _Tiles(whole, edge * STRIDE, MARGIN, first=network.scale).run(down)
    x = network.residuals(x)
    up = [network.up1, network.up2]
    return _Tiles(x, edge, MARGIN // STRIDE).run(up, last=network.paint)[..., :height, :width]


@dataclass(frozen=True)
class _Span:
    """A tile along one axis: its margin included, and without it."""

    start: int
    stop: int
    inner_start: int
    inner_stop: int

    def inner(self, factor: float) -> slice:
        """Return the tile without its margin, within a result `factor` times as large."""
        offset = self.inner_start - self.start
        return slice(round(offset * factor), round((self.inner_stop - self.start) * factor))

    def outer(self, factor: float) -> slice:
        """Return the place of the tile in a result `factor` times as large."""
        return slice(round(self.inner_start * factor), round(self.inner_stop * factor))


def _spans(length: int, edge: int, margin: int) -> list[_Span]:
    return [
        _Span(max(0, at - margin), min(length, at + edge + margin), at, min(length, at + edge))
        for at in range(0, length, edge)
    ]


class _Tiles:
    """The tiles of a map (1, C, H, W), and layers that run on them."""

    def __init__(self, source: Tensor, edge: int, margin: int, first: Layer = lambda x: x) -> None:
        self.source, self.first = source, first
        height, width = source.shape[-2:]
        self.places = [
            (row, column)
            for row in _spans(height, edge, margin)
            for column in _spans(width, edge, margin)
        ]

    def run(self, blocks: Sequence[Block], last: Layer = lambda x: x) -> Tensor:
        """Return `last` of the blocks, for the whole map."""
        layers: list[Layer] = []
        for block in blocks:
            layers += [block.convolution, self._norm(block.norm, [*layers, block.convolution]),
                       F.relu]  # fmt: skip
        result: Tensor | None = None
        for (row, column), part, factor in self._parts([*layers, last]):
            if result is None:
                size = [round(length * factor) for length in self.source.shape[-2:]]
                result = part.new_empty(1, part.shape[1], *size).to(
                    memory_format=torch.channels_last
                )
            result[..., row.outer(factor), column.outer(factor)] = part
        assert result is not None
        return result

    def _norm(self, norm: nn.Module, before: Sequence[Layer]) -> Layer:
        """Return a norm that gives tiles the values that it gives the whole map."""
        if not isinstance(norm, InstanceNorm):
            return norm
        mean, variance = _moments(part for _, part, _ in self._parts(before))
        weight, bias, eps = norm.weight, norm.bias, norm.eps
        return lambda x: F.batch_norm(x, mean, variance, weight, bias, eps=eps)

    def _parts(
        self, layers: Sequence[Layer]
    ) -> Iterator[tuple[tuple[_Span, _Span], Tensor, float]]:
        """Yield for each tile its place, its result without margin, and the change of size."""
        for row, column in self.places:
            source = self.source[..., row.start : row.stop, column.start : column.stop]
            x = self.first(source)
            for layer in layers:
                x = layer(x)
            factor = x.shape[-1] / source.shape[-1]
            yield (row, column), x[..., row.inner(factor), column.inner(factor)], factor


def _moments(parts: Iterator[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel over all parts, in float32."""
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        variance, mean = torch.var_mean(part.float(), (0, 2, 3), correction=0)
        mean, variance, size = mean.double(), variance.double(), part[0, 0].numel()
        count += size
        total = total.to(mean) + size * mean
        squares = squares.to(mean) + size * (variance + mean**2)
    mean = total / count
    return mean.float(), (squares / count - mean**2).clamp(min=0).float()
