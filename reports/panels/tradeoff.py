"""What is bought with what: every variant between two scores, and the front that nobody beats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, starmap

from markupsafe import Markup

from harness.records import Record
from reports import aggregates
from reports.charts import scatter
from reports.charts.scatter import Plot, Point
from reports.formatting.numbers import number
from reports.panels.leaderboard import COSTS
from reports.templating import fill
from reports.view_model import Column, Variant, View

title = "Trade-off"
order = 27

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
    shown: Mapping[str, Record]  # of each variant, the cell whose image stands for it


def render(view: View) -> Markup | None:
    """Show a plot for every two scores; two of them at once."""
    if not view.records:
        return None
    of_each = (_board(one, size) for one in view.groups for size in one.sizes)
    boards = [board for board in of_each if board]
    if not boards:
        return None
    rivals = [variant for variant in view.variants if not variant.anchor]
    columns = {column for board in boards for column in board.columns}
    return fill(
        "tradeoff",
        boards=boards,
        titled=len(boards) > 1 or len(view.groups) > 1,
        variants={variant.name: variant for variant in view.variants},
        circular_in={c.name for c in columns if any(v.circular(c) for v in rivals)},
        words=_words,
    )


def _board(view: View, size: int) -> Board | None:
    costs = () if view.machines_differ else (SECONDS,)
    columns = [*(c for c in view.scores if c.better != "neither"), *costs]
    stats = {column.name: _stats(view, size, column) for column in columns}
    columns = [column for column in columns if _spread(view, stats[column.name])]
    plots = {
        (x.name, y.name): plot
        for x, y in starmap(_oriented, combinations(columns, 2))
        if len((plot := _plot(view, x, y, stats)).marks) > 1
    }
    if not plots:
        return None
    return Board(
        view.heading(size), columns, _defaults(plots), list(plots.values()), _shown(view, size)
    )


def _stats(view: View, size: int, column: Column) -> dict[str, aggregates.Stat]:
    """Return a column's means by variant; an anchor's seconds are those of no method."""
    shown = [v for v in view.variants if not (v.anchor and column is SECONDS)]
    cells = ((v.name, aggregates.finished(view.frame, v.name, size)) for v in shown)
    return {name: s for name, done in cells if (s := aggregates.stat(done, column.name))}


def _spread(view: View, stats: Mapping[str, aggregates.Stat]) -> bool:
    """Tell whether there are two contenders to be told apart."""
    values = {stats[v.name].mean for v in view.variants if not v.anchor and v.name in stats}
    return len(values) > 1


def _oriented(one: Column, other: Column) -> tuple[Column, Column]:
    """Put seconds on the horizontal axis, and how far off the style is on the vertical one."""
    across, up = sorted((one, other), key=lambda c: (c.name in STYLE, c is not SECONDS))
    return across, up


def _plot(
    view: View, x: Column, y: Column, stats: Mapping[str, Mapping[str, aggregates.Stat]]
) -> Plot:
    across, up = stats[x.name], stats[y.name]
    rivals = [v.name for v in view.variants if not v.anchor]
    alike = len({v.label for v in view.variants if not v.anchor}) == 1
    fair = [aggregates.comparable({n: s[n] for n in rivals if n in s}) for s in (across, up)]
    points = [
        Point(
            name=v.name,
            label=v.short if alike else v.name,
            x=across[v.name].mean,
            y=up[v.name].mean,
            competes=all(v.name in names for names in fair),
            anchor=v.anchor,
        )
        for v in view.variants
        if v.name in across and v.name in up
    ]
    return scatter.draw(x, y, points, log=LOGARITHMIC)


def _defaults(plots: Mapping[tuple[str, str], Plot]) -> list[Plot]:
    """Return style against content and against seconds; without style a score and seconds."""
    pairs = [(c, s) for s in STYLE for c in CONTENT]
    timed = [(SECONDS.name, s) for s in STYLE]
    found = [next((plots[p] for p in some if p in plots), None) for some in (pairs, timed)]
    return [plot for plot in found if plot] or [
        plots[min(plots, key=lambda pair: SECONDS.name not in pair)]
    ]


def _shown(view: View, size: int) -> dict[str, Record]:
    """Return the cell of each variant on the pair that most of them have an image of."""
    found: dict[str, dict[str, Record]] = {}
    for record in view.records:
        if record.ok and record.cell.size == size:
            found.setdefault(record.cell.pair, {}).setdefault(record.cell.variant, record)
    most = max(found.values(), key=len)
    return {v: r for one in (*found.values(), most) for v, r in one.items()}


def _words(variant: Variant, plot: Plot, point: Point) -> str:
    """Say a mark's numbers: what a screen reader reads and a pointer shows."""
    both = ((plot.y.column, point.y), (plot.x.column, point.x))
    said = ", ".join(
        f"{column.title} {number(value)}{f' {column.symbol}' if column.symbol else ''}"
        f"{' (circular)' if variant.circular(column) else ''}"
        for column, value in both
    )
    return f"{variant.name}: {said}"
