"""Power of an image by spatial frequency."""

from __future__ import annotations

from typing import Any

import numpy as np


def power(plane: Any) -> Any:
    """Return the power by frequency of a plane (H, W); of white noise, its variance in every bin.

    The mean is subtracted. The periodic Hann window limits the leakage of a tone on a bin to the
    adjacent bins.
    """
    from scipy.fft import fft2

    rise, run = (np.sin(np.pi * np.arange(edge) / edge) ** 2 for edge in plane.shape)
    window = np.outer(rise, run)
    return np.abs(fft2((plane - plane.mean()) * window)) ** 2 / np.square(window).sum()
