"""What the leaderboard counts: means over cells, and who is best."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd

from harness.records import Direction

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Stat:
    """A column of one variant: its mean over cells, and the pairs that these cells are of."""

    mean: float
    deviation: float | None  # of the sample; None for a single value
    n: int
    pairs: frozenset[str]


def finished(frame: pd.DataFrame, variant: str, size: int) -> pd.DataFrame:
    """Return the finished cells of a variant at a size."""
    return frame[
        (frame["variant"] == variant) & (frame["size"] == size) & (frame["status"] == "done")
    ]


def stat(cells: pd.DataFrame, column: str, per: str = "cell") -> Stat | None:
    """Return the mean of a column, one value per `per`, or None where no cell has a value."""
    if column not in cells:
        return None
    have = cells[cells[column].notna()]
    values = have.drop_duplicates(per)[column].astype(float)
    if values.empty:
        return None
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Stat(float(values.mean()), deviation, len(values), frozenset(have["pair"]))


def best(values: Mapping[Key, float], better: Direction) -> set[Key]:
    """Return who has the best value; nobody where there is no contest."""
    if better == "neither" or len(set(values.values())) < 2:
        return set()
    goal = min(values.values()) if better == "lower" else max(values.values())
    return {key for key, value in values.items() if value == goal}


def comparable(stats: Mapping[Key, Stat]) -> set[Key]:
    """Return those whose mean is over all the pairs that the most complete one has.

    A variant that failed on the hardest pair would otherwise win for it.
    """
    most = max((stat.pairs for stat in stats.values()), key=len, default=frozenset())
    return {key for key, stat in stats.items() if stat.pairs >= most}
