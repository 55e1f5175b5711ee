"""Trade-off: every variant by two scores, with the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, starmap

from markupsafe import Markup

from harness.analysis.comparable_costs import of_cells, ranked
from harness.records import Record
from reports import aggregates
from reports.charts import scatter
from reports.charts.scatter import Plot, Point
from reports.formatting.numbers import number
from reports.panels.leaderboard import COSTS
from reports.templating import fill
from reports.view_model import Column, Variant, View

title = "Trade-off"
order = 28

STYLE = ("gram_distance", "style_loss")
CONTENT = ("content_distance", "content_loss", "ssim")
SECONDS = COSTS[0]
LOGARITHMIC = frozenset({SECONDS.name})


@dataclass(frozen=True)
class Board:
    """The plots of one size."""

    title: str
    columns: list[Column]
    defaults: list[Plot]
    plots: list[Plot]
    examples: Mapping[str, Record]  # one cell of each variant, whose image represents it
    omitted: str  # variants without comparable seconds, with the reasons


def render(view: View) -> Markup | None:
    """Render a plot for each combination of two scores, two of them visible at a time."""
    if not view.records:
        return None
    candidates = (_board(one, size) for one in view.groups for size in one.sizes)
    boards = [board for board in candidates if board]
    if not boards:
        return None
    contenders = [variant for variant in view.variants if not variant.anchor]
    columns = {column for board in boards for column in board.columns}
    return fill(
        "tradeoff",
        boards=boards,
        titled=len(boards) > 1 or len(view.groups) > 1,
        variants={variant.name: variant for variant in view.variants},
        circular_in={c.name for c in columns if any(v.circular(c) for v in contenders)},
        describe=_describe,
    )


def _board(view: View, size: int) -> Board | None:
    costs = () if view.machines_differ else (SECONDS,)
    columns = [*(c for c in view.scores if c.better != "neither"), *costs]
    stats = {column.name: _stats(view, size, column) for column in columns}
    columns = [column for column in columns if _differ(view, stats[column.name])]
    plots = {
        (x.name, y.name): plot
        for x, y in starmap(_oriented, combinations(columns, 2))
        if len((plot := _plot(view, x, y, stats)).marks) > 1
    }
    if not plots:
        return None
    return Board(
        title=view.heading(size),
        columns=columns,
        defaults=_defaults(plots),
        plots=list(plots.values()),
        examples=_examples(view, size),
        omitted=_omitted(view, size) if SECONDS in columns else "",
    )


def _stats(view: View, size: int, column: Column) -> dict[str, aggregates.Stat]:
    """Return the means of a column by variant; of times, only those of ranked contenders."""
    cells = {v.name: aggregates.finished_cells(view.frame, v.name, size) for v in view.variants}
    if column is SECONDS:
        qualifiers = _qualifiers(view, size)
        cells = {name: cells[name] for name in qualifiers if name in ranked(qualifiers)}
    return {name: s for name, done in cells.items() if (s := aggregates.mean_of(done, column.name))}


def _qualifiers(view: View, size: int) -> dict[str, str]:
    """Return what qualifies the seconds of each contender."""
    names = [variant.name for variant in view.variants if not variant.anchor]
    cells = {name: aggregates.finished_cells(view.frame, name, size) for name in names}
    return {name: of_cells(done, SECONDS.name) for name, done in cells.items() if len(done)}


def _omitted(view: View, size: int) -> str:
    """Name the variants whose seconds are not comparable with those of the others."""
    qualifiers = _qualifiers(view, size)
    reasons: dict[str, list[str]] = {}
    for name, why in qualifiers.items():
        if name not in ranked(qualifiers):
            reasons.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in reasons.items())


def _differ(view: View, stats: Mapping[str, aggregates.Stat]) -> bool:
    """Return whether at least two contenders have different means."""
    values = {stats[v.name].mean for v in view.variants if not v.anchor and v.name in stats}
    return len(values) > 1


def _oriented(one: Column, other: Column) -> tuple[Column, Column]:
    """Put seconds on the x axis and style scores on the y axis."""
    x, y = sorted((one, other), key=lambda c: (c.name in STYLE, c is not SECONDS))
    return x, y


def _plot(
    view: View, x: Column, y: Column, stats: Mapping[str, Mapping[str, aggregates.Stat]]
) -> Plot:
    xs, ys = stats[x.name], stats[y.name]
    contenders = [v.name for v in view.variants if not v.anchor]
    one_label = len({v.label for v in view.variants if not v.anchor}) == 1
    complete = [aggregates.comparable({n: s[n] for n in contenders if n in s}) for s in (xs, ys)]
    points = [
        Point(
            name=v.name,
            label=v.short if one_label else v.name,
            x=xs[v.name].mean,
            y=ys[v.name].mean,
            competes=all(v.name in names for names in complete),
            anchor=v.anchor,
        )
        for v in view.variants
        if v.name in xs and v.name in ys
    ]
    return scatter.draw(x, y, points, log=LOGARITHMIC)


def _defaults(plots: Mapping[tuple[str, str], Plot]) -> list[Plot]:
    """Return style against content and style against seconds, or else one plot with seconds."""
    content = [(c, s) for s in STYLE for c in CONTENT]
    seconds = [(SECONDS.name, s) for s in STYLE]
    first = [next((plots[p] for p in axes if p in plots), None) for axes in (content, seconds)]
    return [plot for plot in first if plot] or [
        plots[min(plots, key=lambda pair: SECONDS.name not in pair)]
    ]


def _examples(view: View, size: int) -> dict[str, Record]:
    """Return one cell of each variant, where possible on the pair that most variants have."""
    by_pair: dict[str, dict[str, Record]] = {}
    for record in view.records:
        if record.ok and record.cell.size == size:
            by_pair.setdefault(record.cell.pair, {}).setdefault(record.cell.variant, record)
    most = max(by_pair.values(), key=len)
    return {v: r for records in (*by_pair.values(), most) for v, r in records.items()}


def _describe(variant: Variant, plot: Plot, point: Point) -> str:
    """Return the text of a mark, for tooltips and screen readers."""
    values = ((plot.y.column, point.y), (plot.x.column, point.x))
    scores = ", ".join(
        f"{column.title} {number(value)}{f' {column.symbol}' if column.symbol else ''}"
        f"{' (circular)' if variant.circular(column) else ''}"
        for column, value in values
    )
    return f"{variant.name}: {scores}"
