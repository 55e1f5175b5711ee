"""Power of an image by spatial frequency."""

from __future__ import annotations

from typing import Any

import numpy as np


def power(plane: Any) -> Any:
    """Return the power of each frequency of a plane (H, W); white noise has its variance in all.

    The mean is taken out, and the window is the periodic Hann: a tone that is on a bin leaks one
    bin far and no farther.
    """
    from scipy.fft import fft2

    rise, run = (np.sin(np.pi * np.arange(edge) / edge) ** 2 for edge in plane.shape)
    window = np.outer(rise, run)
    return np.abs(fft2((plane - plane.mean()) * window)) ** 2 / np.square(window).sum()
