"""Power of checkerboard patterns with periods of 2 and 4 pixels, from upsampling layers.

Source: a pattern that a layer of stride p repeats every p pixels has its power at the frequencies
    (k/p, l/p) cycles per pixel (Odena, Dumoulin, Olah 2016, "Deconvolution and Checkerboard
    Artifacts"). Each period is measured separately, because a mean over the 12 frequencies of
    period 4 would dilute the 3 frequencies of a pattern of period 2.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.metrics._per_image_cache import cached_per_image
from harness.metrics._spectrum import power
from harness.metrics.ssim import luma
from harness.protocols import Unavailable

if TYPE_CHECKING:
    from harness.protocols import Image

PERIODS = (2, 4)
"""Pixels. Two layers of stride 2 cause patterns of these periods."""

CROP_MULTIPLE, MIN_EDGE = 16, 64
"""Pixels. Cropping to the multiple places all frequencies at whole bins. At the minimum edge they
are 16 bins apart, more than the 13 bins of the surroundings of each."""

POWER_FLOOR = 1e-4
"""Squared grey levels: a thousandth of the rounding noise of 8 bits. A flat image scores 0 dB."""

OFFSETS = np.arange(-6, 7)
DISTANCES = np.maximum(np.abs(OFFSETS)[:, None], np.abs(OFFSETS))  # bins
PEAK, SURROUNDINGS = DISTANCES <= 1, DISTANCES > 2


@dataclass(frozen=True)
class Pattern:
    """The pattern of one period in an image."""

    decibels: float  # peak power above the surroundings, mean over frequencies
    square: float  # squared rms in grey levels, sum over frequencies


def find_patterns(stylized: Image, content: Image) -> tuple[list[Pattern], list[Pattern]]:
    """Return the patterns of both images, one for each of `PERIODS`.

    Raises:
        Unavailable: The images are smaller than `MIN_EDGE`.
    """
    if min(content.shape[-2:]) < MIN_EDGE:
        raise Unavailable(f"the checkerboard metrics need at least {MIN_EDGE} x {MIN_EDGE} pixels")
    return _patterns(stylized), _content_patterns(content)


def _patterns(image: Image) -> list[Pattern]:
    plane = 255 * luma(image)
    height, width = (edge - edge % CROP_MULTIPLE for edge in plane.shape)
    spectrum = power(plane[:height, :width])
    return [_measure(spectrum, bins) for bins in _bins_by_period(height, width)]


# Photographs have patterns too, for example from their compression.
_content_patterns = cached_per_image(_patterns)


def _bins_by_period(height: int, width: int) -> list[list[tuple[int, int]]]:
    """Return the bins of each period, without those of smaller periods."""
    smaller = {(0, 0)}
    bins_by_period = []
    for period in PERIODS:
        down, right = (range(0, edge, edge // period) for edge in (height, width))
        bins = set(itertools.product(down, right))
        bins_by_period.append(sorted(bins - smaller))
        smaller |= bins
    return bins_by_period


def _measure(spectrum: Any, bins: list[tuple[int, int]]) -> Pattern:
    height, width = spectrum.shape
    decibels, square = [], 0.0
    for row, column in bins:
        patch = spectrum[np.ix_((row + OFFSETS) % height, (column + OFFSETS) % width)]
        # The power of noise has an exponential distribution: mean = median / ln 2.
        floor = np.median(patch[SURROUNDINGS]) / math.log(2) + POWER_FLOOR
        decibels.append(10 * math.log10((patch[PEAK].mean() + POWER_FLOOR) / floor))
        square += np.maximum(0, patch[PEAK] - floor).sum() / spectrum.size  # by Parseval
    return Pattern(sum(decibels) / len(decibels), float(square))
