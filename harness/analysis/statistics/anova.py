"""Mean squares and variance components of crossed tables with one number per cell."""

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
"""Deviations below this share of a table's largest number are rounding errors, set to zero."""


class MeanSquare(NamedTuple):
    """The mean square of a factor or an interaction, for each table of a stack."""

    value: Array  # (...), in squared units of the table
    df: int
    repeats: int  # cells averaged in each of its means


def checked(values: Array, factors: Factors) -> Array:
    """Return the table as float64.

    Raises:
        ValueError: It is empty, has another number of axes, or contains NaN or infinity.
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
        ValueError: A factor has fewer than two levels.
    """
    sizes = dict(zip(factors, tables.shape[-len(factors) :], strict=True))
    if min(sizes.values()) < 2:
        raise ValueError(f"each factor needs two levels: {sizes}")
    effects = [names for n in range(len(sizes)) for names in combinations(factors, n + 1)]
    return {names: _mean_square(tables, names, sizes) for names in effects}


def _mean_square(tables: Array, names: Factors, sizes: Mapping[str, int]) -> MeanSquare:
    axes = tuple(range(-len(sizes), 0))
    rounding = ROUNDING * np.abs(tables).max(axes, keepdims=True)
    deviations = tables
    for axis, factor in zip(
        axes, sizes, strict=True
    ):  # centre along its factors, average over the others
        mean = deviations.mean(axis, keepdims=True)
        deviations = deviations - mean if factor in names else mean
    deviations = np.where(np.abs(deviations) > rounding, deviations, 0.0)
    df = prod(sizes[factor] - 1 for factor in names)
    repeats = prod(size for factor, size in sizes.items() if factor not in names)
    return MeanSquare(repeats * (deviations**2).sum(axes) / df, df, repeats)


def components(squares: Mapping[Factors, MeanSquare]) -> dict[Factors, Array]:
    """Return the variance components that the mean squares estimate; negative ones are set to zero.

    The expected mean square is the sum of the components of all effects that contain its factors,
    each times its repeats (Cornfield & Tukey 1956, all factors random).
    """
    variances: dict[Factors, Array] = {}
    for names in sorted(squares, key=len, reverse=True):
        within = [other for other in variances if set(names) < set(other)]
        above = sum((squares[other].repeats * variances[other] for other in within), np.float64(0))
        variances[names] = (squares[names].value - above) / squares[names].repeats
    return {names: np.maximum(variances[names], 0.0) for names in squares}


def shares(squares: Mapping[Factors, MeanSquare]) -> dict[str, float]:
    """Return each component's share of the variance of one table.

    They add up to 1, or are all 0 if nothing varies. `residual` is the interaction of all factors,
    together with the noise of seeds, which cannot be separated from it.
    """
    variances = components(squares)
    total = float(sum(variances.values())) or 1.0
    whole = max(variances, key=len)
    named = {
        " x ".join(names) if names != whole else "residual": variances[names] for names in variances
    }
    return {name: float(variance) / total for name, variance in named.items()}


def variance_shares(values: Array) -> dict[str, float]:
    """Return the variance shares of a metric's values (styles, contents, variants).

    Keys: style, content, variant, their pairs ("style x variant") and residual. Variants count as
    a random sample, like styles, since otherwise the shares would not be comparable.

    Raises:
        ValueError: A value is NaN, or a factor has fewer than two levels.
    """
    factors = ("style", "content", "variant")
    return shares(mean_squares(checked(values, factors), factors))
