"""Power on the lattice of frequencies that upsampling by 2 and by 4 prints into an image.

Source: what a stage of stride p repeats every p pixels has its power at (k/p, l/p) cycles per pixel
    (Odena, Dumoulin, Olah 2016, "Deconvolution and Checkerboard Artifacts"). Each period is scored
    by itself: among the 12 points of period 4, the 3 that a pattern of period 2 lights up would
    hardly show.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.metrics._per_image_cache import once_per_image
from harness.metrics._spectrum import power
from harness.metrics.ssim import luma
from harness.protocols import Unavailable

if TYPE_CHECKING:
    from harness.protocols import Image

PERIODS = (2, 4)
"""Two stages of stride 2 have printed what stands every 2 and every 4 pixels."""

GRAIN, SMALLEST = 16, 64
"""Cropped to the grain, all points are whole bins; at 64 they are 16 bins apart, farther than the
13 bins of the surroundings that each is compared with."""

FAINT = 1e-4
"""Squared grey levels, a thousandth of what rounding to 8 bits adds: a flat image scores 0 dB."""

OFFSETS = np.arange(-6, 7)
RING = np.maximum(np.abs(OFFSETS)[:, None], np.abs(OFFSETS))  # bins from the point
NEAR, AROUND = RING <= 1, RING > 2


@dataclass(frozen=True)
class Lattice:
    """What stands out at the points of one period."""

    decibels: float  # above the surroundings, mean over points
    square: float  # of grey levels: the squared rms of the pattern, sum over points


def of_both(stylized: Image, content: Image) -> tuple[list[Lattice], list[Lattice]]:
    """Return a Lattice for each of `PERIODS`; raise Unavailable where the images are too small."""
    if min(content.shape[-2:]) < SMALLEST:
        raise Unavailable(f"the lattice needs {SMALLEST} x {SMALLEST} pixels")
    return _of(stylized), _of_content(content)


def _of(image: Image) -> list[Lattice]:
    plane = 255 * luma(image)
    height, width = (edge - edge % GRAIN for edge in plane.shape)
    spectrum = power(plane[:height, :width])
    return [_at(spectrum, points) for points in _points(height, width)]


_of_content = once_per_image(_of)
"""What a photograph, or its compression, has by itself."""


def _points(height: int, width: int) -> list[list[tuple[int, int]]]:
    """Return the bins of each period that no smaller period has."""
    seen = {(0, 0)}
    rows = []
    for period in PERIODS:
        down, right = (range(0, edge, edge // period) for edge in (height, width))
        points = set(itertools.product(down, right))
        rows.append(sorted(points - seen))
        seen |= points
    return rows


def _at(spectrum: Any, points: list[tuple[int, int]]) -> Lattice:
    height, width = spectrum.shape
    decibels, square = [], 0.0
    for row, column in points:
        patch = spectrum[np.ix_((row + OFFSETS) % height, (column + OFFSETS) % width)]
        # The power of noise is spread exponentially: its mean is its median over ln 2.
        floor = np.median(patch[AROUND]) / math.log(2) + FAINT
        decibels.append(10 * math.log10((patch[NEAR].mean() + FAINT) / floor))
        square += np.maximum(0, patch[NEAR] - floor).sum() / spectrum.size  # by Parseval
    return Lattice(sum(decibels) / len(decibels), float(square))
