"""Lay out scatter plots of variants by two scores: marks, Pareto front and labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from reports.charts.curves import Scale, linear_ticks, log_ticks, scale
from reports.formatting.numbers import tick
from reports.view_model import Column

WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 46
MARGIN = 0.04  # of an axis, at either end
GAP, CHARACTER, LINE_HEIGHT = 9, 6.5, 13
"""Pixels between a mark and its label, and the size of the label text."""

Box: TypeAlias = tuple[float, float, float]
"""Left edge, right edge and vertical centre of a line of text."""


@dataclass(frozen=True)
class Point:
    """One variant with its two values; `competes` states whether it can be on the front."""

    name: str
    label: str
    x: float
    y: float
    competes: bool
    anchor: bool


@dataclass(frozen=True)
class Label:
    """Position of a label and its SVG text-anchor."""

    x: float
    y: float
    text_anchor: str


@dataclass(frozen=True)
class Mark:
    """A point in plot coordinates, with a label if there is room for one."""

    point: Point
    x: float
    y: float
    front: bool
    label: Label | None = None


@dataclass(frozen=True)
class Axis:
    """One score and its scale."""

    column: Column
    log: bool
    ticks: list[tuple[float, str]]
    to: Scale

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return self.to(math.log10(value) if self.log else value)


@dataclass(frozen=True)
class Plot:
    """A scatter plot in the form that the template needs."""

    x: Axis
    y: Axis
    marks: list[Mark]
    path: str  # the front as steps, since points between two marks are not attainable
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw(x: Column, y: Column, points: Sequence[Point], *, log: frozenset[str]) -> Plot:
    """Return the plot of points; the axes named in `log` are logarithmic."""
    points = _without_distant_anchors(points)
    x_axis = _axis(x, [p.x for p in points], (LEFT, WIDTH - RIGHT), log=x.name in log)
    y_axis = _axis(y, [p.y for p in points], (HEIGHT - BOTTOM, TOP), log=y.name in log)
    front = pareto_front(points, x, y)
    marks = [Mark(point, x_axis(point.x), y_axis(point.y), point in front) for point in points]
    steps = sorted((m.x, m.y) for m in marks if m.front)
    return Plot(x_axis, y_axis, _labelled(marks), _steps(steps, x, y))


def _without_distant_anchors(points: Sequence[Point]) -> list[Point]:
    """Omit anchors that lie so far away that the other points would be indistinguishable."""
    rivals = [point for point in points if not point.anchor]

    def near(values: list[float], value: float) -> bool:
        low, high = min(values), max(values)
        return 2 * low - high <= value <= 2 * high - low

    xs, ys = [p.x for p in rivals], [p.y for p in rivals]
    return [p for p in points if not p.anchor or (near(xs, p.x) and near(ys, p.y))]


def pareto_front(points: Sequence[Point], x: Column, y: Column) -> list[Point]:
    """Return the competing points that no other competing point dominates."""
    costs = {p: (_cost(p.x, x), _cost(p.y, y)) for p in points if p.competes}
    return [
        p
        for p, (a, b) in costs.items()
        if not any((c <= a and d <= b) and (c, d) != (a, b) for c, d in costs.values())
    ]


def _cost(value: float, column: Column) -> float:
    return -value if column.better == "higher" else value


def _axis(column: Column, values: list[float], ends: tuple[float, float], *, log: bool) -> Axis:
    low, high = min(values), max(values)
    if log:
        room = max((high / low) ** MARGIN, 1.01)
        low, high = low / room, high * room
        to = scale(math.log10(low), math.log10(high), *ends)
        return Axis(column, log, [(to(math.log10(v)), tick(v)) for v in log_ticks(low, high)], to)
    room = (high - low) * MARGIN or 1
    low, high = low - room, high + room
    to = scale(low, high, *ends)
    ticks = [(to(v), tick(v)) for v in linear_ticks(low, high)]
    return Axis(column, log, ticks, to)


def _steps(corners: list[tuple[float, float]], x: Column, y: Column) -> str:
    """Return the path of the front; each step worsens one score and keeps the other."""
    if not corners:
        return ""
    path = f"M{corners[0][0]:g} {corners[0][1]:g}"
    for (_, before), (at, after) in pairwise(corners):
        # The corner is on the worse side: above for `lower`, below for `higher`.
        worse = min(before, after) if y.better == "lower" else max(before, after)
        path += f"V{worse:g}H{at:g}V{after:g}"
    return path


def _labelled(marks: list[Mark]) -> list[Mark]:
    """Add labels where they fit (beside, above or below the mark), the front first."""
    taken: list[Box] = [(mark.x - 6, mark.x + 6, mark.y) for mark in marks]
    labelled: list[Mark] = []
    for mark in sorted(marks, key=lambda m: (not m.front, not m.point.competes)):
        places = {_box(place, mark): place for place in _places(mark)}
        fitting = (b for b in places if _inside(b) and not any(_overlap(b, t) for t in taken))
        free = next(fitting, None)
        if free:
            taken.append(free)
        labelled.append(replace(mark, label=places[free] if free else None))
    return labelled


def _places(mark: Mark) -> Iterator[Label]:
    yield Label(round(mark.x + GAP, 1), mark.y, "start")
    yield Label(round(mark.x - GAP, 1), mark.y, "end")
    yield Label(mark.x, round(mark.y - LINE_HEIGHT, 1), "middle")
    yield Label(mark.x, round(mark.y + LINE_HEIGHT, 1), "middle")


def _box(label: Label, mark: Mark) -> Box:
    width = len(mark.point.label) * CHARACTER
    low = label.x - width * {"start": 0, "middle": 0.5, "end": 1}[label.text_anchor]
    return low, low + width, label.y


def _inside(box: Box) -> bool:
    low, high, y = box
    return low >= LEFT and high <= WIDTH and TOP <= y <= HEIGHT - BOTTOM - LINE_HEIGHT / 2


def _overlap(one: Box, other: Box) -> bool:
    close = abs(one[2] - other[2]) < LINE_HEIGHT
    return close and one[0] < other[1] and other[0] < one[1]
