"""Where the lines, ticks and labels of a small chart with a logarithmic y axis go."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reports.text import number, tick

WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 84, 10, 34
LINE_HEIGHT, LONGEST_LABEL = 12, 13


@dataclass(frozen=True)
class Curve:
    """One series; `index` gives it its colour and dashes."""

    name: str
    index: int
    points: Sequence[tuple[float, float]]
    note: str = ""


@dataclass(frozen=True)
class Line:
    """A curve in the chart's coordinates."""

    path: str
    index: int
    title: str
    label: str
    label_y: float | None  # None where another line carries the label


@dataclass(frozen=True)
class Chart:
    """A chart, ready for its template."""

    name: str
    axis: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw(name: str, axis: str, curves: list[Curve]) -> Chart:
    """Return the chart of curves that share both axes."""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    to_x = scale(min(xs), max(xs), LEFT, WIDTH - RIGHT)
    low, high = _room(min(ys), max(ys))
    to_y = scale(math.log10(low), math.log10(high), HEIGHT - BOTTOM, TOP)
    # Seeds of a variant share colour and name: the first one carries the label.
    heads = {c.index: to_y(math.log10(c.points[-1][1])) for c in reversed(curves)}
    labels = dict(zip(heads, _apart([*heads.values()]), strict=True))
    lines = [
        _line(
            curve,
            [(to_x(x), to_y(math.log10(y))) for x, y in curve.points],
            labels.pop(curve.index, None),
        )
        for curve in curves
    ]
    return Chart(
        name,
        axis,
        lines,
        [(to_x(x), f"{x:g}") for x in linear_ticks(min(xs), max(xs))],
        [(to_y(math.log10(y)), tick(y)) for y in log_ticks(low, high)],
    )


def linear_ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers between two."""
    span = high - low or 1
    base = 10 ** math.floor(math.log10(span / 3))
    step = next((s * base for s in (5, 2, 1) if span / (s * base) >= 2.5), base)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return two to six round numbers between two, powers of ten where these suffice."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [d * 10.0**decade for decade in decades for d in digits]
        ticks = [t for t in ticks if low <= t <= high]
        if len(ticks) > 2:
            return ticks[:: math.ceil(len(ticks) / 6)]
    return ticks if len(ticks) == 2 else linear_ticks(low, high)


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """Return what takes `low` to `start` and `high` to `end`."""
    return Scale(low, (end - start) / (high - low or 1), start)


@dataclass(frozen=True)
class Scale:
    """From values to coordinates, by a straight line."""

    low: float
    factor: float
    start: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return round(self.start + (value - self.low) * self.factor, 1)


def _room(low: float, high: float) -> tuple[float, float]:
    """Widen a range a little, so that no curve lies on the frame; a flat one by a tenth."""
    margin = max((high / low) ** 0.04, 1.1 if high == low else 1.0)
    return low / margin, high * margin


def _line(curve: Curve, points: list[tuple[float, float]], label_y: float | None) -> Line:
    long = len(curve.name) > LONGEST_LABEL
    note = f", {curve.note}" if curve.note else ""
    return Line(
        path="M" + "L".join(f"{x:g} {y:g}" for x, y in points),
        index=curve.index,
        title=f"{curve.name}: {number(curve.points[-1][1])} in the end{note}",
        label=curve.name[: LONGEST_LABEL - 1] + "…" if long else curve.name,
        label_y=label_y,
    )


def _apart(heights: list[float]) -> list[float]:
    """Move labels down until none covers another, then all up if the last one left the chart."""
    placed: dict[int, float] = {}
    floor = -math.inf
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        floor = placed[index] = max(heights[index], floor + LINE_HEIGHT)
    over = max(0.0, floor - (HEIGHT - BOTTOM))
    return [round(placed[index] - over, 1) for index in range(len(heights))]
