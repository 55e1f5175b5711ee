"""Distortions of known strength, to test the response of metrics."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import interpolate

Measure = Callable[..., float]
"""The fixture `measure`: `measure(name, stylized, content=None, style=None, **params)`."""


def brighten_every_fourth_pixel(image: torch.Tensor, gain: float) -> torch.Tensor:
    """Brighten one pixel of every 2 x 2, like an uneven transposed convolution."""
    image = image.clone()
    image[..., ::2, ::2] *= 1 + gain
    return image


def add_checkerboard(image: torch.Tensor, grey_levels: float) -> torch.Tensor:
    row, column = (torch.arange(edge) for edge in image.shape[-2:])
    return image + grey_levels / 255 * (1.0 - 2 * ((row[:, None] + column) % 2))


def add_noise(image: torch.Tensor, sigma: float, seed: int = 0) -> torch.Tensor:
    return image + sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def quantize(image: torch.Tensor) -> torch.Tensor:
    """Clamp and round to 8 bits, like saving."""
    return (image.clamp(0, 1) * 255).round() / 255


def blend(image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return an image with 40 % of another one, in place of the result of a method."""
    return quantize(0.6 * image + 0.4 * interpolate(other, image.shape[-2:], mode="bilinear"))
