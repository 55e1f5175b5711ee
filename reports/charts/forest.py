"""Lay out forest plots: effects, intervals, their axis and the range of irrelevant effects."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis.claims import ClaimRow
from reports.charts.curves import Scale, linear_ticks, log_ticks, scale
from reports.formatting.numbers import tick

WIDTH, HEIGHT, MARGIN = 240, 22, 16
MIN_LABEL_DISTANCE = 34  # pixels between the centres of two labels


@dataclass(frozen=True)
class Place:
    """One effect in axis coordinates."""

    at: float
    interval: tuple[float, float] | None
    band: tuple[float, float]  # the range of effects that are too small to matter


@dataclass(frozen=True)
class Axis:
    """The axis that all effects of one metric share."""

    to_x: Scale
    ratio: bool
    no_effect: float  # coordinate of an effect of zero, or a ratio of one
    ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT

    def place(self, row: ClaimRow) -> Place | None:
        """Return the place of an effect, or None if there is no finite effect."""
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
    """Return the shared axis of the rows of one metric, logarithmic for ratios."""
    measured = [row for row in rows if row.estimate is not None]
    if not measured:
        return None
    ratio = measured[0].unit == "×"
    values = [0.0, *(v for row in measured for v in _extent(row, ratio=ratio) if math.isfinite(v))]
    low, high = min(values), max(values)
    to_x = scale(low, high, MARGIN, WIDTH - MARGIN)
    return Axis(to_x, ratio, to_x(0.0), _ticks(low, high, to_x, ratio=ratio))


def _extent(row: ClaimRow, *, ratio: bool) -> list[float]:
    half = _linear(row.smallest, ratio)
    values = (_linear(v, ratio) for v in (row.estimate, row.ci_lo, row.ci_hi) if v is not None)
    return [-half, half, *values]


def _linear(value: float, ratio: bool) -> float:
    """Return a value on the scale of the axis: the logarithm of a ratio."""
    if not ratio:
        return value
    return math.log10(value) if value > 0 else -math.inf


def _ticks(low: float, high: float, to_x: Scale, *, ratio: bool) -> list[tuple[float, str]]:
    """Return labels that do not overlap, always including the one of no effect."""
    if ratio:
        values = log_ticks(10**low, 10**high)
        candidates = [(to_x(math.log10(value)), f"×{tick(value)}") for value in values]
        ticks = [(to_x(0.0), "×1")]
    else:
        candidates = [(to_x(v), tick(v)) for v in linear_ticks(low, high) if v]
        ticks = [(to_x(0.0), "0")]
    for candidate in candidates:
        if all(abs(candidate[0] - x) >= MIN_LABEL_DISTANCE for x, _ in ticks):
            ticks.append(candidate)
    return sorted(ticks)
