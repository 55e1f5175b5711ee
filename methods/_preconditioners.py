"""What L-BFGS takes for the inverse curvature before its pairs say more.

The common choice is one number, the newest pair's. Losses of deep features are no such thing: they
bend a hundred times less along coarse, grey changes of an image than along fine, coloured ones. So
`SpectralScaling` has a number for each of a few bands of spatial frequency, in each of three
colours, learnt from the same pairs: 200 passes then do the work of 250 or more (128 px,
gordicaleksa's objective within bounds).

Numbers never rise with frequency. The encoder hardly sees the finest frequencies: their gradients
change little, however far a step goes, and a number learnt from that grows with every step that it
makes longer. A few hundred passes would bury the image under noise that no loss term sees.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

BANDS = 16
MEMORY = 0.9
"""How much of what was learnt of a band is left when the next pair comes."""

MAX_RATIO = 100.0
"""No band's number is this many times the common one, or a part so small of it."""

COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 2.0, -1.0))
"""Grey, red against blue, green against both: near the principal axes of natural images' colours
(Ohta, Kanade, Sakai 1980, Computer Graphics and Image Processing 13)."""


class Scaling(Protocol):
    """A positive operator on gradients, learnt from pairs of steps and gradient changes."""

    def begin(self, number: Tensor) -> None:
        """Take (N,), one number for each problem, until a pair says more."""

    def learn(self, step: Tensor, change: Tensor, curvature: Tensor, kept: Tensor) -> None:
        """Take a pair (N, numbers) for each problem, its product (N,), and whether it counts."""

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return (N, numbers)."""


class UniformScaling:
    """One number per problem: s . y / y . y of the newest pair."""

    def begin(self, number: Tensor) -> None:
        """Take (N,) until a pair says more."""
        self.number = number

    def learn(self, step: Tensor, change: Tensor, curvature: Tensor, kept: Tensor) -> None:
        """Take a pair for each problem."""
        number = curvature / change.square().sum(1, dtype=torch.float64)
        self.number = torch.where(kept, number, self.number)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return (N, numbers)."""
        return self.number.to(gradient.dtype)[:, None] * gradient


class SpectralScaling:
    """A number per problem, colour and band: how far steps went for how much gradients changed.

    Args:
        images: (N, 3, H, W), of the shape that gradients have when they are not flattened.
    """

    def __init__(self, images: Tensor) -> None:
        self.shape = images.shape
        axes = torch.tensor(COLOURS, device=images.device)
        self.colours = axes / axes.norm(dim=1, keepdim=True)
        self.bands, self.members = _bands(images.shape[-2], images.shape[-1], images.device)
        self.moved = images.new_zeros(len(images), 3, BANDS)
        self.changed = torch.zeros_like(self.moved)

    def begin(self, number: Tensor) -> None:
        """Take (N,) for all bands until a pair says more."""
        self.numbers = number.to(self.moved.dtype)[:, None, None].expand_as(self.moved)

    def learn(self, step: Tensor, change: Tensor, curvature: Tensor, kept: Tensor) -> None:
        """Take a pair for each problem."""
        moved, changed = self._energies(step), self._energies(change)
        weight, kept = (1 / curvature).to(step.dtype)[:, None, None], kept[:, None, None]
        self.moved = torch.where(kept, MEMORY * self.moved + weight * moved, self.moved)
        self.changed = torch.where(kept, MEMORY * self.changed + weight * changed, self.changed)
        common = (self.moved.sum((1, 2)) / self.changed.sum((1, 2))).sqrt()[:, None, None]
        numbers = (self.moved / self.changed).sqrt() / common
        numbers = numbers.nan_to_num(1.0).clamp(1 / MAX_RATIO, MAX_RATIO).cummin(2).values
        newest = (numbers * changed).sum((1, 2))  # y . H y, which the pair wants to be s . y
        numbers = numbers * (curvature / newest).to(step.dtype)[:, None, None]
        self.numbers = torch.where(kept, numbers, self.numbers)

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return (N, numbers)."""
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
    """Return the band of every frequency (H, W // 2 + 1), and what counts in each (H * ..., bands).

    Bands are equally wide in octaves. Of the two halves of a real image's spectrum `rfft2` gives
    one: all but the first column, and the last of an even width, count twice.
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
