"""One row per variant: its scores and its cost over all cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from reports import aggregates, comparability
from reports.formatting.footnotes import Footnotes
from reports.formatting.numbers import NONE, number, spread
from reports.templating import fill
from reports.view_model import Column, Variant, View

title = "Leaderboard"
order = 20

COSTS = (
    Column("stylize_seconds", "stylize", "s per image", "lower"),
    Column("fit_seconds", "fit", "s per style", "lower"),
    # Unmarked: a pass of an optimiser and a training step on a batch are not the same work.
    Column("pass_ms", "pass or step", "ms, median", "neither"),
    Column("peak_mb", "peak memory", "MB", "lower"),
)

TIMES = {"stylize_seconds", "fit_seconds", "pass_ms"}

PART = "Its means are over fewer pairs than those of others, and are not compared with them."
OTHER = "Its means are over fewer or other pairs than those of others, and are not compared."


@dataclass(frozen=True)
class Entry:
    """One number of the table, as it is written, and as the script sorts and subtracts it."""

    mean: str = NONE
    spread: str = ""
    n: int = 0
    stat: aggregates.Stat | None = None
    over: int = 0  # the same for means that compare, over the same pairs: these have a difference
    best: bool = False
    part: bool = False  # over fewer pairs than others have
    circular: bool = False
    rough: bool = False  # a time that something disturbed, or that is a share of a batch's
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Line:
    """One variant."""

    variant: Variant
    done: int
    cells: str  # how many are done, and what became of the others
    all_done: bool
    entries: tuple[Entry, ...]
    note: int | None  # the footnote on part results


@dataclass(frozen=True)
class Board:
    """The table of one size: other sizes take other times and give other scores."""

    title: str
    columns: tuple[Column, ...]
    contenders: list[Line]
    anchors: list[Line]


def render(view: View) -> Markup | None:
    """Show the means, the spread and who is best."""
    if not view.variants or not view.records:
        return None
    footnotes = Footnotes()
    boards = [_board(one, size, footnotes) for one in view.groups for size in one.sizes]
    lines = [line for board in boards for line in board.contenders]
    return fill(
        "leaderboard",
        boards=boards,
        footnotes=footnotes.texts,
        judge=view.judge,
        circular_somewhere=any(entry.circular for line in lines for entry in line.entries),
    )


def _board(view: View, size: int, footnotes: Footnotes) -> Board:
    costs = (c.unranked("other machines") for c in COSTS) if view.machines_differ else COSTS
    columns = (*view.scores, *costs)
    cells = {v.name: aggregates.finished(view.frame, v.name, size) for v in view.variants}
    entries = {column.name: _entries(view, size, column, cells, footnotes) for column in columns}

    def line(variant: Variant) -> Line:
        own = tuple(entries[column.name][variant.name] for column in columns)
        why = OTHER if view.sources else PART
        note = footnotes.mark(why) if any(entry.part for entry in own) else None
        return Line(variant, *_outcome(view, variant.name, size), own, note)

    lines = [line(variant) for variant in view.variants]
    return Board(
        view.heading(size),
        columns,
        [line for line in lines if not line.variant.anchor],
        [line for line in lines if line.variant.anchor],
    )


def _entries(
    view: View,
    size: int,
    column: Column,
    cells: dict[str, pd.DataFrame],
    footnotes: Footnotes,
) -> dict[str, Entry]:
    """Return a column's entries by variant: anchors and part results have no share in the best."""
    # The fit of a style serves several cells: its seconds count once.
    per = "fit" if column.name == "fit_seconds" else "cell"
    found = {name: aggregates.stat(done, column.name, per) for name, done in cells.items()}
    variants = {v.name: v for v in view.variants}
    contenders = {name for name, variant in variants.items() if not variant.anchor}
    competing = {name: stat for name, stat in found.items() if stat and name in contenders}
    fair = aggregates.comparable(competing)
    winners = aggregates.best({name: competing[name].mean for name in fair}, column.better)
    rough = {name: _what_blurs(view, name, size, column) for name in cells}
    grounds = {n: (stat.pairs, _where_from(view, n, column)) for n, stat in found.items() if stat}
    order = list(grounds.values())
    return {
        name: Entry(
            **_written(stat),
            over=order.index(grounds[name]) if stat else 0,
            best=name in winners and not rough[name],
            rough=bool(rough[name]),
            part=column.better != "neither" and name in competing and name not in fair,
            circular=variants[name].circular(column) and name in competing,
            notes=tuple(
                map(footnotes.mark, [*_why_missing(view, name, size, column), *rough[name]])
            ),
        )
        for name, stat in found.items()
    }


def _where_from(view: View, variant: str, column: Column) -> frozenset[str]:
    """Return who judged a variant, or what it ran on, where that is not the same for all."""
    records = [record for record in view.records if record.cell.variant == variant]
    if column.name in view.disputed:
        return comparability.judges(column.name, records)
    if column.name in {cost.name for cost in COSTS} and view.machines_differ:
        return comparability.machines(records)
    return frozenset()


def _written(stat: aggregates.Stat | None) -> dict[str, Any]:
    if stat is None:
        return {}
    deviation = "" if stat.deviation is None else spread(stat.mean, stat.deviation)
    return {"mean": number(stat.mean), "spread": deviation, "n": stat.n, "stat": stat}


def _why_missing(view: View, variant: str, size: int, column: Column) -> list[str]:
    found = (
        record.score(column.name)
        for record in view.records
        if record.ok and (record.cell.variant, record.cell.size) == (variant, size)
    )
    reasons = (s.why_missing or "no reason given" for s in found if s and s.value is None)
    return [f"{column.title} is not available: {reason}" for reason in dict.fromkeys(reasons)]


def _what_blurs(view: View, variant: str, size: int, column: Column) -> list[str]:
    """Return why a variant's times are no more than a hint."""
    if column.name not in TIMES:
        return []
    timings = [
        record.timing
        for record in view.records
        if record.timing and (record.cell.variant, record.cell.size) == (variant, size)
    ]
    noisy = [timing.noisy for timing in timings if timing.noisy]
    why = []
    if noisy:
        cells = f"{len(noisy)} of {len(timings)} cells"
        why.append(f"≈ A hint: {cells} were disturbed ({noisy[0]}, for one).")
    shared = max((timing.shared_by for timing in timings), default=1)
    if shared > 1 and column.name != "fit_seconds":
        why.append(f"≈ Up to {shared} cells ran in one batch; each is given an even share.")
    return why


def _outcome(view: View, variant: str, size: int) -> tuple[int, str, bool]:
    """Return 4, `4 done, 1 failed`, and whether that is all well."""
    counts: dict[str, int] = {"done": 0}
    for record in view.records:
        if (record.cell.variant, record.cell.size) == (variant, size):
            status = record.status.replace("_", " ")
            counts[status] = counts.get(status, 0) + 1
    for skip in view.run.skipped:
        if skip.variant == variant and view.skip_size(skip) in (size, None):
            counts["skipped"] = counts.get("skipped", 0) + 1
    words = ", ".join(f"{n} {status}" for status, n in counts.items())
    return counts["done"], words, len(counts) == 1
