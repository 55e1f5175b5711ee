"""Notation of studies: palettes, tables and outlines as short strings of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Field: TypeAlias = Callable[[Array], Any]  # points (n, 2) -> values (n,)

TAU = 2 * np.pi


def ramp(stops: str, t: Array | float) -> Array:
    """Return colours (..., 3) at `t` in [0, 1] of a colour ramp with hex stops, "0b1f4b f3d35b"."""
    colours = np.array([list(bytes.fromhex(stop)) for stop in stops.split()]) / 255
    positions = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(t, positions, channel) for channel in colours.T], -1)


def parse_table(numbers: str, columns: int = 2) -> Array:
    """Return the numbers of a string as rows (n, columns)."""
    return np.array(numbers.split(), float).reshape(-1, columns)


def unit_vectors(angle: Array) -> Array:
    """Return the unit vectors (..., 2) with the direction `angle` (...)."""
    return np.stack([np.cos(angle), np.sin(angle)], -1)


def smooth_curve(path: Array, rounds: int = 5) -> Array:
    """Return a smooth path (m, 2) near `path` by corner cutting (Chaikin 1974)."""
    for _ in range(rounds):
        a, b = path[:-1], path[1:]
        cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, 2)
        path = np.concatenate([path[:1], cut, path[-1:]])
    return path
