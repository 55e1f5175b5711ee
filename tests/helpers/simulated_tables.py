"""Random tables of effects by style and content with given variance components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def simulate(
    count: int, shape: tuple[int, int], style: float, content: float, residual: float, seed: int = 0
) -> Array:
    """Return tables (count, styles, contents) with mean zero and the given variances."""
    (styles, contents), normal = shape, np.random.default_rng(seed).standard_normal
    effects = style**0.5 * normal((count, styles, 1)) + content**0.5 * normal((count, 1, contents))
    tables: Array = effects + residual**0.5 * normal((count, styles, contents))
    return tables


def sample(styles: int = 8, contents: int = 8, mean: float = 0.0) -> Array:
    table: Array = simulate(1, (styles, contents), 0.5, 0.15, 0.35)[0] + mean
    return table
