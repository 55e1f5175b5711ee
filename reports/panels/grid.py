"""Grid of all stylized images: one row per pair, one column per variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.analysis import comparable_costs
from harness.records import ImageUse, Record
from reports import aggregates
from reports.formatting.numbers import number
from reports.images import Picture
from reports.templating import fill
from reports.view_model import Column, Pair, Variant, View

title = "Grid"
order = 20


@dataclass(frozen=True)
class Input:
    """A content or style image in the header of a row."""

    role: str
    use: ImageUse
    picture: Picture | None


@dataclass(frozen=True)
class Chip:
    """One score under an image."""

    column: Column
    text: str
    why_missing: str
    best: bool
    circular: bool


@dataclass(frozen=True)
class CellView:
    """One cell: its record, its image if there is one, and its scores."""

    record: Record
    picture: Picture | None
    chips: list[Chip]

    @property
    def qualifier(self) -> str:
        """What qualifies its time, see `comparable_costs`."""
        return comparable_costs.qualifier(self.record)


@dataclass(frozen=True)
class Row:
    """One pair at one size, with a box per variant that holds one cell per seed."""

    pair: Pair
    inputs: list[Input]
    boxes: list[list[CellView]]
    skips: list[list[str]]  # reasons, by variant like the boxes


@dataclass(frozen=True)
class Table:
    """The rows of one size."""

    title: str
    variants: list[Variant]
    lines: int  # lines of text below an image
    rows: list[Row]


def render(view: View) -> Markup | None:
    """Render the images with their scores."""
    tables = [_table(one, size) for one in view.groups for size in one.sizes]
    if not any(one.rows for one in tables):
        return None
    _, omitted = _columns(view)
    qualifiers = set(map(comparable_costs.qualifier, view.records))
    return fill(
        "grid",
        view=view,
        tables=tables,
        omitted=omitted,
        with_start_up=comparable_costs.INCLUDES_START_UP in qualifiers,
    )


def _table(view: View, size: int) -> Table:
    variants = sorted(view.variants, key=lambda variant: variant.anchor)  # anchors come last
    rows = [_row(view, pair, variants) for pair in view.pairs(size)]
    return Table(view.heading(size), variants, len(_columns(view)[0]) + 2, rows)


def _row(view: View, pair: Pair, variants: Sequence[Variant]) -> Row:
    records = view.by_place.get((pair.name, pair.size), [])
    columns, _ = _columns(view)
    winners = {column.name: _winners(records, column) for column in columns}

    def box(variant: Variant) -> list[CellView]:
        return [
            CellView(r, view.stylized(r), [_chip(r, c, winners[c.name]) for c in columns])
            for r in records
            if r.cell.variant == variant.name
        ]

    return Row(
        pair=pair,
        inputs=_inputs(view, pair),
        boxes=[box(variant) for variant in variants],
        skips=[_skips(view, pair, variant) for variant in variants],
    )


def _inputs(view: View, pair: Pair) -> list[Input]:
    uses = {"content": pair.content, "style": pair.style}
    return [Input(role, use, view.input(use, pair.size)) for role, use in uses.items() if use]


def _skips(view: View, pair: Pair, variant: Variant) -> list[str]:
    return [
        skip.reason
        for skip in view.run.skipped
        if (skip.pair, skip.variant) == (pair.name, variant.name)
        and view.skip_size(skip) in (pair.size, None)
    ]


def _winners(records: list[Record], column: Column) -> set[str]:
    """Return the ids of the best cells of a row, separately for each seed."""
    winners: set[str] = set()
    for seed in {record.cell.seed for record in records}:
        values = {
            r.cell.id: score.value
            for r in records
            if r.ok and not r.cell.anchor and r.cell.seed == seed
            if (score := r.score(column.name)) and score.value is not None
        }
        winners |= aggregates.best(values, column.better)
    return winners


def _chip(record: Record, column: Column, winners: set[str]) -> Chip:
    score = record.score(column.name)
    return Chip(
        column=column,
        text=number(score.value if score else None),
        why_missing=score.why_missing if score else "not measured",
        best=record.cell.id in winners,
        circular=Variant.of(record.cell).circular(column),
    )


def _columns(view: View) -> tuple[list[Column], list[Column]]:
    """Return the scores with a value in any cell, and the scores without any value."""

    def has_value(column: Column) -> bool:
        return bool(view.frame[column.name].notna().any())

    present = [column for column in view.scores if has_value(column)]
    return present, [column for column in view.scores if column not in present]
