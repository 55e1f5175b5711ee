"""Means over cells and the best of them, as the leaderboard and the trade-off plot show them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from harness.records import Direction

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Stat:
    """The mean of one column over the cells of one variant, and the pairs of these cells."""

    mean: float
    deviation: float | None  # sample standard deviation; None for a single value
    n: int
    pairs: frozenset[str]


def finished_cells(frame: pd.DataFrame, variant: str, size: int) -> pd.DataFrame:
    """Return the finished cells of a variant at a size."""
    return frame[
        (frame["variant"] == variant) & (frame["size"] == size) & (frame["status"] == "done")
    ]


def mean_of(cells: pd.DataFrame, column: str, per: str = "cell") -> Stat | None:
    """Return the mean of a column with one value per `per`, or None if no cell has a value."""
    if column not in cells:
        return None
    available = cells[column].notna()
    repeated = cells[per][available].duplicated()
    values = cells[column][available][~repeated].astype(float)
    if values.empty:
        return None
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Stat(float(values.mean()), deviation, len(values), frozenset(cells["pair"][available]))


def best(values: Mapping[Key, float], better: Direction) -> set[Key]:
    """Return the keys with the best value; none if all values are equal or have no direction."""
    if better == "neither" or len(set(values.values())) < 2:
        return set()
    target = min(values.values()) if better == "lower" else max(values.values())
    return {key for key, value in values.items() if value == target}


def comparable(stats: Mapping[Key, Stat]) -> set[Key]:
    """Return the keys whose means cover all pairs of the most complete one.

    Otherwise a variant that fails on the hardest pair would gain an advantage.
    """
    most = max((stat.pairs for stat in stats.values()), key=len, default=frozenset())
    return {key for key, stat in stats.items() if stat.pairs >= most}
