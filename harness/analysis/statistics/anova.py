"""Mean squares and variance components of crossed tables that hold one number a cell."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Factors: TypeAlias = tuple[str, ...]

ROUNDING = 1e-12
"""Deviations below this share of a table's largest number are rounding, and count as none."""


class MeanSquare(NamedTuple):
    """What a factor, or factors together, contribute to the spread of each table of a stack."""

    value: Array  # (...), in squared units of the table
    df: int
    repeats: int  # cells behind each of its means


def checked(values: Array, factors: Factors) -> Array:
    """Return the table as float64.

    Raises:
        ValueError: Where it is empty, has another number of axes, or holds NaN or infinity.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != len(factors) or not table.size:
        raise ValueError(f"expected a table of {' x '.join(factors)}, not of shape {table.shape}")
    if bad := int((~np.isfinite(table)).sum()):
        raise ValueError(f"{bad} of {table.size} cells are not finite: drop rows or columns first")
    return table


def mean_squares(tables: Array, factors: Factors) -> dict[Factors, MeanSquare]:
    """Return the mean square of every factor and interaction; `factors` are the last axes.

    Raises:
        ValueError: Where a factor has fewer than two levels.
    """
    sizes = dict(zip(factors, tables.shape[-len(factors) :], strict=True))
    if min(sizes.values()) < 2:
        raise ValueError(f"each factor needs two levels: {sizes}")
    several = [names for n in range(len(sizes)) for names in combinations(factors, n + 1)]
    return {names: _mean_square(tables, names, sizes) for names in several}


def _mean_square(tables: Array, names: Factors, sizes: Mapping[str, int]) -> MeanSquare:
    axes = tuple(range(-len(sizes), 0))
    rounding = ROUNDING * np.abs(tables).max(axes, keepdims=True)
    deviations = tables
    for axis, factor in zip(axes, sizes, strict=True):  # centre along its own, average the rest
        mean = deviations.mean(axis, keepdims=True)
        deviations = deviations - mean if factor in names else mean
    deviations = np.where(np.abs(deviations) > rounding, deviations, 0.0)
    df = prod(sizes[factor] - 1 for factor in names)
    repeats = prod(size for factor, size in sizes.items() if factor not in names)
    return MeanSquare(repeats * (deviations**2).sum(axes) / df, df, repeats)


def components(squares: Mapping[Factors, MeanSquare]) -> dict[Factors, Array]:
    """Return the variances that the mean squares estimate; below zero is zero.

    A mean square is expected to be the sum of the components of all that contain its factors, each
    times its repeats (Cornfield & Tukey 1956, all factors random).
    """
    found: dict[Factors, Array] = {}
    for names in sorted(squares, key=len, reverse=True):
        within = [other for other in found if set(names) < set(other)]
        above = sum((squares[other].repeats * found[other] for other in within), np.float64(0))
        found[names] = (squares[names].value - above) / squares[names].repeats
    return {names: np.maximum(found[names], 0.0) for names in squares}


def shares(squares: Mapping[Factors, MeanSquare]) -> dict[str, float]:
    """Return each component's share of the variance of one table.

    They add up to 1, or are all 0 where nothing varies. `residual` is what no other name covers:
    all factors together, and the noise of seeds that cannot be told from it.
    """
    found = components(squares)
    total = float(sum(found.values())) or 1.0
    whole = max(found, key=len)
    named = {" x ".join(names) if names != whole else "residual": found[names] for names in found}
    return {name: float(variance) / total for name, variance in named.items()}


def variance_shares(values: Array) -> dict[str, float]:
    """Return what the values of a metric (styles, contents, variants) owe their variance to.

    Keys: style, content, variant, their pairs ("style x variant") and residual. Variants count as
    a sample of those one might have tried, as styles do: else the shares could not be compared.

    Raises:
        ValueError: On NaN, or fewer than two of anything.
    """
    factors = ("style", "content", "variant")
    return shares(mean_squares(checked(values, factors), factors))
