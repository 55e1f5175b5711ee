"""Ablations: the effect of each change on each metric, one row per change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd
from markupsafe import Markup

from harness.analysis import comparable_costs
from harness.analysis.claims import ClaimRow, compared, evaluate_claims
from harness.analysis.claims.comparisons import varied
from harness.analysis.claims.pairing import CONDITIONS, PARAM, STYLE_SIZE, chosen
from harness.analysis.claims.rows import describe_factors
from harness.records import Claim
from reports.formatting import effects
from reports.formatting.effects import Footnotes, Verdict
from reports.formatting.numbers import NONE, number
from reports.panels.leaderboard import COSTS
from reports.templating import fill
from reports.view_model import Column, View

title = "Ablations"
order = 24

RowsByChange: TypeAlias = dict[str, dict[str, ClaimRow]]
"""The rows under one set of conditions, by change and metric."""


@dataclass(frozen=True)
class Entry:
    """The effect of one change on one metric."""

    row: ClaimRow
    verdict: Verdict
    n: str  # empty if it equals the n of the line


@dataclass(frozen=True)
class Line:
    """One change, with its effects on all metrics."""

    change: Claim
    n: str
    entries: list[Entry | str]  # a text says why there is no effect
    notes: list[int]


@dataclass(frozen=True)
class Block:
    """The changes of one method, with the means at the first level of every factor."""

    label: str
    baseline: Mapping[str, str]
    cells: int
    means: list[str]
    lines: list[Line]


@dataclass(frozen=True)
class Board:
    """The blocks under one set of conditions."""

    title: str
    columns: list[Column]
    blocks: list[Block]


@dataclass(frozen=True)
class Study:
    """All comparisons of sources that can be analysed together."""

    boards: list[Board]
    rows: list[ClaimRow]
    untested: list[str]


def render(view: View) -> Markup | None:
    """Render all changes, by conditions."""
    footnotes = Footnotes()
    studies = [study for one in _combinable(view) if (study := _study(one, footnotes))]
    if not studies:
        return None
    rows = [row for study in studies for row in study.rows]
    return fill(
        "ablation",
        boards=[board for study in studies for board in study.boards],
        untested=dict.fromkeys(change for study in studies for change in study.untested),
        several_studies=len(studies) > 1,
        footnotes=footnotes.texts,
        has_verdicts=any(row.p is not None and row.verdict != "illustration" for row in rows),
        has_circular=any(row.circular for row in rows),
        text=effects,
    )


def _combinable(view: View) -> Iterator[View]:
    """Yield groups of sources that share pairs, or single sources if scores are not comparable."""
    for group in view.groups:
        if group.judge_differences or (group.sources and _ambiguous(group.frame)):
            yield from group.parts
        else:
            yield group


def _ambiguous(frame: pd.DataFrame) -> bool:
    """Return whether cells differ in something that comparisons ignore, such as a version."""
    places = ("label", "content", "style", "seed", "encoder_sha256")
    compared_columns = (*places, STYLE_SIZE, *CONDITIONS)
    known = [name for name in frame if name in compared_columns or name.startswith(PARAM)]
    return bool(frame[frame["status"] != "skipped"].duplicated(known).any())


def _study(view: View, footnotes: Footnotes) -> Study | None:
    columns = _columns(view)
    changes = _changes(view, columns)
    if not changes:
        return None
    rows = evaluate_claims(view.frame, changes, view.dataset.lenses, exploratory=True)
    tables = _tables(rows)
    return Study(
        boards=[
            Board(view.qualify(conditions), columns, _blocks(view, columns, changes, t, footnotes))
            for conditions, t in tables.items()
        ],
        rows=rows,
        untested=[
            f"{claim.method} {describe_factors(claim)}"
            for claim in changes
            if not any(claim.id in table for table in tables.values())
        ],
    )


def _columns(view: View) -> list[Column]:
    """Return the comparable scores, followed by times."""
    if not view.records:
        return []
    metrics = view.dataset.metrics()
    trained = any(record.cell.training for record in view.records)
    costs = {"stylize_seconds", "fit_seconds"} if trained else {"stylize_seconds"}
    timed = [cost for cost in COSTS if cost.name in costs and cost.name in view.frame]
    return [*(column for column in view.scores if column.name in metrics), *timed]


def _changes(view: View, columns: Sequence[Column]) -> list[Claim]:
    """Return a claim per change and metric; ids include the method, since methods share factors."""
    names = [column.name for column in columns]
    if not names:  # no cell finished
        return []
    claims = (
        claim
        for factor in varied(view.frame)
        if factor != "seed"
        for claim in compared(view.frame, names, by=factor)
    )
    return [replace(claim, id=f"{claim.method} {claim.id}") for claim in claims]


def _tables(rows: Sequence[ClaimRow]) -> dict[str, RowsByChange]:
    """Return the rows of changes with an effect on any metric, with costs that have none."""
    tables: dict[str, RowsByChange] = {}
    for row in rows:
        if row.estimate is not None:
            table = tables.setdefault(effects.conditions(row.conditions), {})
            table.setdefault(row.claim_id, {})[row.metric] = row
    for row in rows:
        if row.estimate is None and row.metric in comparable_costs.COSTS:
            table = tables.get(effects.conditions(row.conditions), {})
            table.get(row.claim_id, {})[row.metric] = row
    return tables


def _blocks(
    view: View,
    columns: list[Column],
    changes: list[Claim],
    table: RowsByChange,
    footnotes: Footnotes,
) -> list[Block]:
    by_method: dict[str, dict[str, Claim]] = {}
    for claim in changes:
        if claim.id in table:
            by_method.setdefault(claim.method, {})[claim.id] = claim
    return [
        _block(view, columns, [*claims.values()], table, footnotes) for claims in by_method.values()
    ]


def _block(
    view: View,
    columns: list[Column],
    claims: Sequence[Claim],
    table: RowsByChange,
    footnotes: Footnotes,
) -> Block:
    baseline = {claim.factor: claim.levels[0] for claim in claims}
    rows = {metric: row for claim in claims for metric, row in table[claim.id].items()}
    cells = _baseline_cells(view.frame, claims[0], baseline, next(iter(rows.values())).conditions)
    return Block(
        label=claims[0].method,
        baseline=baseline,
        cells=len(cells),
        means=[_mean(cells, rows.get(column.name)) for column in columns],
        lines=[_line(columns, claim, table[claim.id], footnotes) for claim in claims],
    )


def _baseline_cells(
    frame: pd.DataFrame, claim: Claim, levels: Mapping[str, str], conditions: Mapping[str, object]
) -> pd.DataFrame:
    """Return the finished cells of a method with all factors at their first level."""
    cells = chosen(frame, replace(claim, where=levels))
    matching = (cells[[*conditions]] == pd.Series(dict(conditions))).all(axis="columns")
    return cells[matching & (cells["side0"] == 0) & (cells["status"] == "done")]


def _mean(cells: pd.DataFrame, row: ClaimRow | None) -> str:
    """Format the baseline mean of a metric: a geometric mean where effects are ratios."""
    if row is None or cells[row.metric].isna().all():
        return NONE
    values = cells[row.metric].dropna().astype(float)
    if row.unit != "×":
        return number(float(values.mean()))
    return number(float(np.exp(np.log(values[values > 0]).mean())))


def _line(
    columns: list[Column], claim: Claim, rows: Mapping[str, ClaimRow], footnotes: Footnotes
) -> Line:
    with_effect = [row for row in rows.values() if row.estimate is not None]
    (usual_n, _), *_ = Counter(map(effects.size, with_effect)).most_common()
    notes = dict.fromkeys(note for row in with_effect for note in row.notes)

    def entry(row: ClaimRow | None) -> Entry | str:
        if row is None or row.estimate is None:
            return "; ".join(row.notes) if row else NONE
        n = effects.size(row)
        return Entry(row, Verdict.of(row), n if n != usual_n else "")

    entries = [entry(rows.get(column.name)) for column in columns]
    return Line(claim, usual_n, entries, [*map(footnotes.mark, notes)])
