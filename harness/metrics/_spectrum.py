"""Power spectrum of an image."""

from __future__ import annotations

from typing import Any

import numpy as np


def power(plane: Any) -> Any:
    """Return the power spectrum (H, W) of a plane (H, W) without its mean.

    White noise has its variance in every bin. The periodic Hann window limits the leakage of a
    sinusoid at a bin to the adjacent bins.
    """
    from scipy.fft import fft2

    rows, columns = (np.sin(np.pi * np.arange(edge) / edge) ** 2 for edge in plane.shape)
    window = np.outer(rows, columns)
    return np.abs(fft2((plane - plane.mean()) * window)) ** 2 / np.square(window).sum()
