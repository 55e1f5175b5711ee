"""Where an effect lies beside others: intervals, their axis and the band of no interest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis.claims import ClaimRow
from reports.charts.curves import Scale, linear_ticks, log_ticks, scale
from reports.formatting.numbers import tick

WIDTH, HEIGHT, MARGIN = 240, 22, 16
APART = 34  # pixels between the middles of two labels


@dataclass(frozen=True)
class Place:
    """One effect in the coordinates of its axis."""

    at: float
    interval: tuple[float, float] | None
    band: tuple[float, float]  # where effects are too small to matter


@dataclass(frozen=True)
class Axis:
    """What the effects of one metric share."""

    to_x: Scale
    ratio: bool
    nothing: float  # where there is no effect
    ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT

    def place(self, row: ClaimRow) -> Place | None:
        """Return where an effect lies, if there is one."""
        if row.estimate is None or not math.isfinite(at := _linear(row.estimate, self.ratio)):
            return None
        limits = (row.ci_lo, row.ci_hi)
        low, high = (None if v is None else self.to_x(_linear(v, self.ratio)) for v in limits)
        return Place(
            at=self.to_x(at),
            interval=None if low is None or high is None else (low, high),
            band=(self.to_x(-(half := _linear(row.smallest, self.ratio))), self.to_x(half)),
        )


def axis(rows: Iterable[ClaimRow]) -> Axis | None:
    """Return the axis on which all rows of a metric compare, logarithmic for ratios."""
    shown = [row for row in rows if row.estimate is not None]
    if not shown:
        return None
    ratio = shown[0].unit == "×"
    values = [0.0, *(v for row in shown for v in _extent(row, ratio=ratio) if math.isfinite(v))]
    low, high = min(values), max(values)
    to_x = scale(low, high, MARGIN, WIDTH - MARGIN)
    return Axis(to_x, ratio, to_x(0.0), _ticks(low, high, to_x, ratio=ratio))


def _extent(row: ClaimRow, *, ratio: bool) -> list[float]:
    half = _linear(row.smallest, ratio)
    found = (_linear(v, ratio) for v in (row.estimate, row.ci_lo, row.ci_hi) if v is not None)
    return [-half, half, *found]


def _linear(value: float, ratio: bool) -> float:
    """Return a value as the axis has it: the logarithm of a ratio."""
    if not ratio:
        return value
    return math.log10(value) if value > 0 else -math.inf


def _ticks(low: float, high: float, to_x: Scale, *, ratio: bool) -> list[tuple[float, str]]:
    """Return labels that keep clear of each other; that of no effect is always there."""
    if ratio:
        round_ones = log_ticks(10**low, 10**high)
        found = [(to_x(math.log10(value)), f"×{tick(value)}") for value in round_ones]
        nothing = (to_x(0.0), "×1")
    else:
        found = [(to_x(v), tick(v)) for v in linear_ticks(low, high) if v]
        nothing = (to_x(0.0), "0")
    kept = [nothing]
    for one in found:
        if all(abs(one[0] - other[0]) >= APART for other in kept):
            kept.append(one)
    return sorted(kept)
