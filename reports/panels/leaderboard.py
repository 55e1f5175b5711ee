"""Leaderboard: mean scores, times and memory of each variant."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from harness.analysis.comparable_costs import EXPLANATIONS, NOT_MEASURED, TIMES, of_cells, ranked
from reports import aggregates, comparability
from reports.formatting.effects import Footnotes
from reports.formatting.numbers import NONE, number, spread
from reports.templating import fill
from reports.view_model import Column, Variant, View

title = "Leaderboard"
order = 26

COSTS = (
    Column("stylize_seconds", "stylize", "s per image", "lower"),
    Column("fit_seconds", "fit", "s per style", "lower"),
    # Not ranked: an optimiser pass and a training step on a batch are different amounts of work.
    Column("pass_ms", "pass or step", "ms, median", "neither"),
    Column("peak_mb", "peak memory", "MB", "lower"),
)

FEWER_PAIRS = "Means over fewer pairs than those of other variants are not ranked."
OTHER_PAIRS = "Means over fewer pairs than those of other variants, or other pairs, are not ranked."


@dataclass(frozen=True)
class Entry:
    """One number of the table, as text and as values for the script."""

    mean: str = NONE
    spread: str = ""
    n: int = 0
    stat: aggregates.Stat | None = None
    group: int = 0  # equal for means that are comparable and cover the same pairs
    best: bool = False
    partial: bool = False  # covers fewer pairs than other variants
    circular: bool = False
    approximate: bool = False  # a time that was disturbed, or is a share of a batch
    qualifier: str = ""  # of `comparable_costs`
    notes: tuple[int, ...] = ()

    @property
    def missing(self) -> str:
        """The text in place of a number."""
        return self.qualifier if self.qualifier == NOT_MEASURED else NONE


@dataclass(frozen=True)
class Line:
    """One variant."""

    variant: Variant
    done: int
    cells: str  # number of cells by status
    all_done: bool
    entries: tuple[Entry, ...]
    note: int | None  # the footnote on partial results

    @property
    def ranked(self) -> bool:
        """Whether the variant has results, for as many pairs as any other variant."""
        return any(e.n for e in self.entries) and not any(e.partial for e in self.entries)


@dataclass(frozen=True)
class Board:
    """The table of one size; results at different sizes are not comparable."""

    title: str
    columns: tuple[Column, ...]
    contenders: list[Line]
    anchors: list[Line]


def render(view: View) -> Markup | None:
    """Render means and standard deviations, and mark the best."""
    footnotes = Footnotes()
    found = boards(view, footnotes)
    if not found:
        return None
    lines = [line for board in found for line in board.contenders]
    return fill(
        "leaderboard",
        boards=found,
        footnotes=footnotes.texts,
        judge=view.judge,
        has_circular=any(entry.circular for line in lines for entry in line.entries),
    )


def boards(view: View, footnotes: Footnotes) -> list[Board]:
    """Return a table for each size of each group of sources; none without records."""
    if not view.records:
        return []
    return [_board(one, size, footnotes) for one in view.groups for size in one.sizes]


def _board(view: View, size: int, footnotes: Footnotes) -> Board:
    costs = (c.unranked("different machines") for c in COSTS) if view.machines_differ else COSTS
    columns = (*view.scores, *costs)
    cells = {v.name: aggregates.finished_cells(view.frame, v.name, size) for v in view.variants}
    entries = {column.name: _entries(view, size, column, cells, footnotes) for column in columns}

    def line(variant: Variant) -> Line:
        row = tuple(entries[column.name][variant.name] for column in columns)
        reason = OTHER_PAIRS if view.sources else FEWER_PAIRS
        note = footnotes.mark(reason) if any(entry.partial for entry in row) else None
        return Line(variant, *_outcome(view, variant.name, size), row, note)

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
    """Return the entries of a column by variant; anchors and partial results are not ranked."""
    # Several cells share the fit of a style, so its seconds count once.
    per = "fit" if column.name == "fit_seconds" else "cell"
    stats = {name: aggregates.mean_of(done, column.name, per) for name, done in cells.items()}
    variants = {v.name: v for v in view.variants}
    contenders = {name for name, variant in variants.items() if not variant.anchor}
    qualifiers = {name: of_cells(done, column.name) for name, done in cells.items()}
    eligible = ranked({name: qualifiers[name] for name in contenders})
    competing = {name: stat for name, stat in stats.items() if stat and name in eligible}
    complete = aggregates.comparable(competing)
    winners = aggregates.best({name: competing[name].mean for name in complete}, column.better)
    timing_notes = {name: _timing_notes(view, name, size, column) for name in cells}
    bases = {
        name: (stat.pairs, qualifiers[name], _origins(view, name, column))
        for name, stat in stats.items()
        if stat
    }
    groups = list(bases.values())

    def notes(name: str) -> list[str]:
        explanation = EXPLANATIONS.get(qualifiers[name])
        explained = [explanation] if explanation and stats[name] else []
        return [*_why_missing(view, name, size, column), *timing_notes[name], *explained]

    return {
        name: Entry(
            **_formatted(stat),
            group=groups.index(bases[name]) if stat else 0,
            best=name in winners and not timing_notes[name],
            approximate=bool(timing_notes[name]),
            partial=column.better != "neither" and name in competing and name not in complete,
            circular=variants[name].circular(column) and name in competing,
            qualifier=qualifiers[name],
            notes=tuple(map(footnotes.mark, notes(name))),
        )
        for name, stat in stats.items()
    }


def _origins(view: View, variant: str, column: Column) -> frozenset[str]:
    """Return the judges or machines of a variant if they differ between sources."""
    records = [record for record in view.records if record.cell.variant == variant]
    if column.name in view.judge_differences:
        return comparability.judges(column.name, records)
    if column.name in {cost.name for cost in COSTS} and view.machines_differ:
        return comparability.machines(records)
    return frozenset()


def _formatted(stat: aggregates.Stat | None) -> dict[str, Any]:
    if stat is None:
        return {}
    deviation = "" if stat.deviation is None else spread(stat.mean, stat.deviation)
    return {"mean": number(stat.mean), "spread": deviation, "n": stat.n, "stat": stat}


def _why_missing(view: View, variant: str, size: int, column: Column) -> list[str]:
    """Return the reasons why scores are missing, and from how many images a mean lacks them."""
    found = [
        record.score(column.name)
        for record in view.records
        if record.ok and (record.cell.variant, record.cell.size) == (variant, size)
    ]
    scores = [score for score in found if score]
    missing = Counter(s.why_missing or "no reason given" for s in scores if s.value is None)
    if missing.total() == len(scores):
        return [f"{column.title} is not available: {reason}" for reason in missing]
    for reason, _ in missing.most_common(1):  # the grid shows the reason of every image
        part = f"{missing.total()} of {len(scores)} images, which are not part of the mean"
        example = "for example, " if len(missing) > 1 else ""
        return [f"{column.title} is not available for {part}: {example}{reason}"]
    return []


def _timing_notes(view: View, variant: str, size: int, column: Column) -> list[str]:
    """Return the reasons why the times of a variant are approximate."""
    if column.name not in TIMES:
        return []
    timings = [
        record.timing
        for record in view.records
        if record.timing and (record.cell.variant, record.cell.size) == (variant, size)
    ]
    noisy = [timing.noisy for timing in timings if timing.noisy]
    notes = []
    if noisy:
        count = f"{len(noisy)} of {len(timings)} measurements"
        notes.append(f"≈ Approximate: {count} were disturbed (for example, {noisy[0]}).")
    shared = max((timing.shared_by for timing in timings), default=1)
    if shared > 1 and column.name != "fit_seconds":
        notes.append(
            f"≈ Approximate: up to {shared} cells ran in one batch,"
            " and each is assigned an equal share of its time."
        )
    return notes


def _outcome(view: View, variant: str, size: int) -> tuple[int, str, bool]:
    """Return the number of finished cells, `4 done, 1 failed`, and whether all are done."""
    counts: dict[str, int] = {"done": 0}
    for record in view.records:
        if (record.cell.variant, record.cell.size) == (variant, size):
            status = record.status.replace("_", " ")
            counts[status] = counts.get(status, 0) + 1
    for skip in view.run.skipped:
        if skip.variant == variant and view.skip_size(skip) in (size, None):
            counts["skipped"] = counts.get("skipped", 0) + 1
    text = ", ".join(f"{n} {status}" for status, n in counts.items())
    return counts["done"], text, len(counts) == 1
