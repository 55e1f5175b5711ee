"""What the speed comparisons share: interleaved rounds, medians, a Markdown table.

A machine's pace changes from minute to minute, so nothing is measured in one go: every round runs
all sides once, one after the other, and a round's ratio or difference is taken within that round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

Side = Callable[[], float]
"""Does the work once and returns what it cost: seconds, unless it says otherwise."""


@dataclass(frozen=True)
class Row:
    """One comparison: `must` is the bound, `aim` the wish, both in the words of the table."""

    what: str
    against: str
    must: str
    aim: str
    measured: str


def rounds(sides: Sequence[Side], count: int) -> list[tuple[float, ...]]:
    """Return `count` rounds of every side's cost; every second round runs them backwards."""
    results = []
    for index in range(count):
        order = range(len(sides)) if index % 2 == 0 else reversed(range(len(sides)))
        cost = {side: sides[side]() for side in order}
        results.append(tuple(cost[side] for side in range(len(sides))))
    return results


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """Write the median with the least and the most: `1.23 s (1.20 to 1.31)`."""
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    return markdown([asdict(row) for row in rows])


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows of one kind as a Markdown table, headed by their keys."""
    heads = list(dict.fromkeys(key for row in rows for key in row))
    lines = [heads, ["---"] * len(heads)]
    lines += [[row.get(head, "") for head in heads] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def seconds(values: Sequence[float]) -> str:
    """Write the median: `0.215 s`."""
    return f"{median(values):.3g} s"


def ratios(those: Sequence[float], these: Sequence[float]) -> str:
    """Write the median of each round's ratio with the least and the most: `2.31 (2.25 to 2.40)`."""
    found = [one / other for one, other in zip(those, these, strict=True)]
    return f"{median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
