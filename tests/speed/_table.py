"""Interleaved rounds, medians and Markdown tables for the speed comparisons.

Every round runs all sides once, and ratios and differences are computed within a round, because
the speed of a machine changes from minute to minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

Side = Callable[[], float]
"""Does the work once and returns its cost, in seconds unless stated otherwise."""


@dataclass(frozen=True)
class Row:
    """One comparison; a measured value must not exceed the limit."""

    what: str
    baseline: str
    limit: str
    target: str
    measured: str


def rounds(sides: Sequence[Side], count: int) -> list[tuple[float, ...]]:
    """Return the costs of all sides in `count` rounds; every second round runs in reverse."""
    results = []
    for index in range(count):
        order = range(len(sides)) if index % 2 == 0 else reversed(range(len(sides)))
        cost = {side: sides[side]() for side in order}
        results.append(tuple(cost[side] for side in range(len(sides))))
    return results


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """Return median, minimum and maximum as text: `1.23 s (1.20 to 1.31)`."""
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as Markdown."""
    return markdown([asdict(row) for row in rows])


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows as a Markdown table; their keys are the header."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    lines = [header, ["---"] * len(header)]
    lines += [[row.get(key, "") for key in header] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def seconds(values: Sequence[float]) -> str:
    """Return the median as text: `0.215 s`."""
    return f"{median(values):.3g} s"


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    """Return median, minimum and maximum of the ratios by round: `2.31 (2.25 to 2.40)`."""
    values = [one / other for one, other in zip(numerators, denominators, strict=True)]
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
