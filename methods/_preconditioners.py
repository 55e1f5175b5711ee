"""Initial inverse Hessians of L-BFGS, which its correction pairs then update.

The common choice is one number, from the newest pair. It does not suit losses of deep features:
their curvature is a hundred times lower for coarse, grey changes of an image than for fine,
coloured ones. `SpectralScaling` therefore learns from the same pairs a number for each of a few
bands of spatial frequency in each of three colours. 200 passes then reach the loss of 250 or more
passes (128 px, gordicaleksa's objective within bounds).

The numbers never rise with frequency. The encoder is almost insensitive to the finest frequencies:
their gradients change little with a step of any length, so a number learnt from them would lengthen
the steps, and longer steps would raise the number. After a few hundred passes the image would be
covered with noise that no loss term measures.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

BANDS = 16
MEMORY = 0.9
"""Decay of the statistics of a band with each new pair."""

MAX_RATIO = 100.0
"""Largest ratio of a band's number to the common one, and of the common one to it."""

COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 2.0, -1.0))
"""Grey, red minus blue, green minus both: close to the principal axes of colours in natural images
(Ohta, Kanade, Sakai 1980, Computer Graphics and Image Processing 13)."""


class Scaling(Protocol):
    """A positive definite operator on gradients, learnt from steps and gradient changes."""

    def begin(self, number: Tensor) -> None:
        """Set the operator to a multiple (N,) of the identity for each problem."""

    def learn(self, step: Tensor, change: Tensor, curvature: Tensor, valid: Tensor) -> None:
        """Update the operator with the pairs of the `valid` problems (N,).

        Args:
            step: (N, numbers).
            change: Change of the gradient over the step (N, numbers).
            curvature: Inner product of the two (N,).
            valid: Whether the pair of a problem is used (N,).
        """

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the product with gradients (N, numbers)."""


class UniformScaling:
    """One number per problem: s . y / y . y of the newest pair."""

    def begin(self, number: Tensor) -> None:
        """Set the number (N,) of each problem."""
        self.number = number

    def learn(self, step: Tensor, change: Tensor, curvature: Tensor, valid: Tensor) -> None:
        """Update the `valid` problems with a pair."""
        number = curvature / change.square().sum(1, dtype=torch.float64)
        self.number = torch.where(valid, number, self.number)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the product with gradients (N, numbers)."""
        return self.number.to(gradient.dtype)[:, None] * gradient


class SpectralScaling:
    """One number per problem, colour and band: the ratio of steps to gradient changes.

    Args:
        images: (N, 3, H, W), with the shape of gradients before they are flattened.
    """

    def __init__(self, images: Tensor) -> None:
        self.shape = images.shape
        axes = torch.tensor(COLOURS, device=images.device)
        self.colours = axes / axes.norm(dim=1, keepdim=True)
        self.bands, self.members = _bands(images.shape[-2], images.shape[-1], images.device)
        self.moved = images.new_zeros(len(images), 3, BANDS)
        self.changed = torch.zeros_like(self.moved)

    def begin(self, number: Tensor) -> None:
        """Set all bands of each problem to a number (N,)."""
        self.numbers = number.to(self.moved.dtype)[:, None, None].expand_as(self.moved)

    def learn(self, step: Tensor, change: Tensor, curvature: Tensor, valid: Tensor) -> None:
        """Update the `valid` problems with a pair."""
        moved, changed = self._energies(step), self._energies(change)
        weight, valid = (1 / curvature).to(step.dtype)[:, None, None], valid[:, None, None]
        self.moved = torch.where(valid, MEMORY * self.moved + weight * moved, self.moved)
        self.changed = torch.where(valid, MEMORY * self.changed + weight * changed, self.changed)
        common = (self.moved.sum((1, 2)) / self.changed.sum((1, 2))).sqrt()[:, None, None]
        numbers = (self.moved / self.changed).sqrt() / common
        numbers = numbers.nan_to_num(1.0).clamp(1 / MAX_RATIO, MAX_RATIO).cummin(2).values
        newest = (numbers * changed).sum((1, 2))  # y . H y; the secant condition sets it to s . y
        numbers = numbers * (curvature / newest).to(step.dtype)[:, None, None]
        self.numbers = torch.where(valid, numbers, self.numbers)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the product with gradients (N, numbers)."""
        scaled = self._spectrum(gradient) * self.numbers[:, :, self.bands]
        colours = torch.fft.irfft2(scaled, s=self.shape[-2:], norm="ortho")
        return torch.einsum("ji,njhw->nihw", self.colours, colours).flatten(1)

    def _spectrum(self, vectors: Tensor) -> Tensor:
        colours = torch.einsum("ij,njhw->nihw", self.colours, vectors.view(self.shape))
        spectrum: Tensor = torch.fft.rfft2(colours, norm="ortho")
        return spectrum

    def _energies(self, vectors: Tensor) -> Tensor:
        spectrum = torch.view_as_real(self._spectrum(vectors)).square().sum(-1)
        return spectrum.flatten(2) @ self.members


def _bands(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the band of each frequency (H, W // 2 + 1), and its weight in each (H * ..., bands).

    Bands have equal widths in octaves. `rfft2` returns half of the spectrum of a real image, so all
    columns count twice, except the first and, for an even width, the last.
    """
    down, right = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    lowest = 1 / max(height, width)
    octaves = torch.log2(torch.hypot(down, right).clamp_min(lowest) / lowest)
    bands = (octaves / math.log2(0.71 / lowest) * (BANDS - 1)).round().long()
    twice = torch.full((height, width // 2 + 1), 2.0)
    twice[:, 0] = 1
    if width % 2 == 0:
        twice[:, -1] = 1
    members = torch.nn.functional.one_hot(bands, BANDS).float() * twice[..., None]
    return bands.to(device), members.flatten(0, 1).to(device)
