"""Lay out the lines, ticks and labels of a loss chart, for each of its x and y axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from reports.charts.svg_path import dots, path
from reports.formatting.numbers import duration, number, tick
from reports.merged_runs import AT

WIDTH, HEIGHT = 380, 220
LEFT, RIGHT, TOP, BOTTOM = 48, 84, 10, 34
LINE_HEIGHT, MAX_LABEL_LENGTH = 12, 13
CLIP_FACTOR = 2
"""A linear axis clips early losses that exceed all later ones by this factor."""

XAxis: TypeAlias = Literal["steps", "seconds"]
YAxis: TypeAlias = Literal["log", "linear"]


@dataclass(frozen=True)
class Curve:
    """At least two points over both x axes; `index` selects colour and dashes."""

    name: str
    index: int
    xs: Mapping[XAxis, Sequence[float]]
    losses: Sequence[float]
    note: str = ""
    approximate: bool = False  # its seconds are not reliable
    saved_xs: Mapping[XAxis, Sequence[float]] = field(default_factory=dict)
    saved: Sequence[float] = ()  # losses of the saved image at snapshots, drawn as points


@dataclass(frozen=True)
class Axis:
    """A selectable axis with its scale and ticks."""

    kind: XAxis | YAxis
    name: str
    to: Scale
    ticks: list[tuple[float, str]]

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return self.to(math.log10(value) if self.kind == "log" else value)


@dataclass(frozen=True)
class Line:
    """A curve in chart coordinates: a path for each combination of x and y axis."""

    index: int
    title: str
    paths: dict[tuple[XAxis, YAxis], str]
    points: dict[tuple[XAxis, YAxis], str]  # the losses of saved images, as path data


@dataclass(frozen=True)
class Label:
    """The name next to the end of the first curve of a variant, with its height by y axis."""

    text: str
    index: int
    at: dict[YAxis, float]


@dataclass(frozen=True)
class Chart:
    """A chart in the form that the template needs."""

    name: str
    x_axes: dict[XAxis, Axis]
    y_axes: dict[YAxis, Axis]
    lines: list[Line]
    labels: list[Label]
    clipped: bool  # whether any curve starts above the linear axis
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def draw(name: str, steps: str, curves: list[Curve]) -> Chart:
    """Return a chart of curves that share all axes; `steps` is the name of the step axis."""
    counts = [x for curve in curves for x in curve.xs["steps"]]
    seconds = [x for curve in curves for x in curve.xs["seconds"]]
    x_axes: dict[XAxis, Axis] = {
        "steps": _x_axis("steps", steps, min(counts), max(counts)),
        "seconds": _x_axis("seconds", "seconds", 0, max(seconds)),
    }
    losses = [loss for curve in curves for loss in (*curve.losses, *curve.saved)]
    highest = ceiling(curves)
    y_axes: dict[YAxis, Axis] = {"log": _log(min(losses), max(losses)), "linear": _linear(highest)}
    return Chart(
        name,
        x_axes,
        y_axes,
        _without_duplicates([_line(curve, steps, x_axes, y_axes) for curve in curves]),
        _labels(curves, y_axes),
        clipped=max(losses) > highest,
    )


def ceiling(curves: Sequence[Curve]) -> float:
    """Return the highest loss that a linear axis shows.

    This is the highest loss, or, if curves start far above their later values, the highest loss
    after the first tenth of each curve.
    """
    highest = max(max(*c.losses, *c.saved) for c in curves)
    later = max(max(_after_first_tenth(c)) for c in curves)
    return later if highest > CLIP_FACTOR * later else highest


def _after_first_tenth(curve: Curve) -> list[float]:
    steps = curve.saved_xs.get("steps", ())
    tenth = curve.xs["steps"][-1] / 10
    saved = [loss for x, loss in zip(steps, curve.saved, strict=True) if x > tenth]
    return [*curve.losses[math.ceil(len(curve.losses) / 10) :], *saved]


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
    """Return the linear scale that maps `low` to `start` and `high` to `end`."""
    return Scale(low, (end - start) / (high - low or 1), start)


@dataclass(frozen=True)
class Scale:
    """A linear map from values to coordinates."""

    low: float
    factor: float
    start: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        return round(self.start + (value - self.low) * self.factor, 1)


def _x_axis(kind: XAxis, name: str, low: float, high: float) -> Axis:
    to = scale(low, high, LEFT, WIDTH - RIGHT)
    return Axis(kind, name, to, [(to(x), _plain(x)) for x in linear_ticks(low, high)])


def _plain(x: float) -> str:
    """Return all digits of an integer: a number of steps is not 1e+06."""
    return f"{x:.0f}" if float(x).is_integer() else f"{x:g}"


def _log(low: float, high: float) -> Axis:
    """Return an axis with a margin, so that no curve lies on the frame."""
    margin = max((high / low) ** 0.04, 1.1 if high == low else 1.0)
    low, high = low / margin, high * margin
    to = scale(math.log10(low), math.log10(high), HEIGHT - BOTTOM, TOP)
    ticks = [(to(math.log10(y)), tick(y)) for y in log_ticks(low, high)]
    return Axis("log", "loss, logarithmic", to, ticks)


def _linear(high: float) -> Axis:
    to = scale(0, high * 1.04, HEIGHT - BOTTOM, TOP)
    ticks = [(to(y), tick(y)) for y in linear_ticks(0, high * 1.04)]
    return Axis("linear", "loss, linear", to, ticks)


def _line(
    curve: Curve, steps: str, x_axes: Mapping[XAxis, Axis], y_axes: Mapping[YAxis, Axis]
) -> Line:
    seconds, mark = curve.xs["seconds"][-1], "≈ " if curve.approximate else ""
    elapsed = f", {mark}{duration(seconds)}" if seconds else ""
    after = f"{_plain(curve.xs['steps'][-1])} {steps}{elapsed}"
    note = f", {curve.note}" if curve.note else ""
    saved = f", saved image {number(curve.saved[-1])}" if curve.saved else ""
    return Line(
        curve.index,
        f"{curve.name}: {number(curve.losses[-1])}{saved} after {after}{note}",
        {
            (x, y): path(zip(map(to_x, curve.xs[x]), map(to_y, curve.losses), strict=True), TOP)
            for x, to_x in x_axes.items()
            for y, to_y in y_axes.items()
        },
        {
            (x, y): dots(
                zip(map(to_x, curve.saved_xs[x]), map(to_y, curve.saved), strict=True), TOP
            )
            for x, to_x in x_axes.items()
            for y, to_y in y_axes.items()
            if curve.saved
        },
    )


def _without_duplicates(lines: Sequence[Line]) -> list[Line]:
    """Remove paths that equal a path of another seed of the same variant."""
    first = {(line.index, *path): line for line in reversed(lines) for path in line.paths.items()}
    return [
        replace(line, paths=dict(p for p in line.paths.items() if first[(line.index, *p)] is line))
        for line in lines
    ]


def _labels(curves: Sequence[Curve], y_axes: Mapping[YAxis, Axis]) -> list[Label]:
    # Seeds of a variant share colour and name, so only the first gets a label.
    labelled = [*{curve.index: curve for curve in reversed(curves)}.values()]
    heights = {kind: _separate([to(c.losses[-1]) for c in labelled]) for kind, to in y_axes.items()}
    return [
        Label(_shortened(c.name), c.index, {kind: at[i] for kind, at in heights.items()})
        for i, c in enumerate(labelled)
    ]


def _shortened(name: str) -> str:
    name = name.partition(AT)[0]  # the legend shows the source; a truncated one is ambiguous
    return name[: MAX_LABEL_LENGTH - 1] + "…" if len(name) > MAX_LABEL_LENGTH else name


def _separate(heights: list[float]) -> list[float]:
    """Move labels down until none overlap, then move all up if the last one left the chart."""
    placed: dict[int, float] = {}
    floor = -math.inf
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        floor = placed[index] = max(heights[index], floor + LINE_HEIGHT)
    excess = max(0.0, floor - (HEIGHT - BOTTOM))
    return [round(placed[index] - excess, 1) for index in range(len(heights))]
