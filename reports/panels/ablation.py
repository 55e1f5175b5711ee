"""What each change does to each number: one row per change, one column per metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pandas as pd
from markupsafe import Markup

from harness.analysis.claims import ClaimRow, compared, evaluate_claims
from harness.analysis.claims.comparisons import varied
from harness.analysis.claims.pairing import CONDITIONS, PARAM, chosen
from harness.analysis.claims.rows import describe_factors
from harness.records import Claim
from reports.formatting import effects
from reports.formatting.effects import Verdict
from reports.formatting.footnotes import Footnotes
from reports.formatting.numbers import NONE, number
from reports.panels.leaderboard import COSTS
from reports.templating import fill
from reports.view_model import Column, View

title = "Ablations"
order = 24

Table: TypeAlias = dict[str, dict[str, ClaimRow]]
"""The rows under one set of conditions, by change and metric."""


@dataclass(frozen=True)
class Entry:
    """What one change does to one number."""

    row: ClaimRow
    verdict: Verdict
    n: str  # where it is not that of the line


@dataclass(frozen=True)
class Line:
    """One change."""

    change: Claim
    n: str
    entries: list[Entry | None]
    notes: list[int]


@dataclass(frozen=True)
class Block:
    """The changes of one method, and where they start from."""

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
    """All that was compared of sources that can be taken as one."""

    boards: list[Board]
    rows: list[ClaimRow]
    untested: list[str]


def render(view: View) -> Markup | None:
    """Show all changes under each set of conditions."""
    footnotes = Footnotes()
    studies = [study for one in _alike(view) if (study := _study(one, footnotes))]
    if not studies:
        return None
    rows = [row for study in studies for row in study.rows]
    return fill(
        "ablation",
        boards=[board for study in studies for board in study.boards],
        untested=dict.fromkeys(change for study in studies for change in study.untested),
        apart=len(studies) > 1,
        footnotes=footnotes.texts,
        judged_somewhere=any(row.p is not None and row.verdict != "illustration" for row in rows),
        circular_somewhere=any(row.circular for row in rows),
        text=effects,
    )


def _alike(view: View) -> Iterator[View]:
    """Yield the sources that have pairs in common as one, where all their numbers compare."""
    for group in view.groups:
        if group.disputed or (group.sources and _ambiguous(group.frame)):
            yield from group.parts
        else:
            yield group


def _ambiguous(frame: pd.DataFrame) -> bool:
    """Tell whether cells differ in what no comparison looks at: the version of a method, say."""
    place = ("label", "content", "style", "seed", "encoder_sha256", *CONDITIONS)
    known = [name for name in frame if name in place or name.startswith(PARAM)]
    return bool(frame[frame["status"] != "skipped"].duplicated(known).any())


def _study(view: View, footnotes: Footnotes) -> Study | None:
    columns = _columns(view)
    changes = _changes(view, columns)
    if not changes:
        return None
    rows = evaluate_claims(view.frame, changes, view.found.lenses, exploratory=True)
    tables = _tables(rows)
    return Study(
        boards=[
            Board(view.under(conditions), columns, _blocks(view, columns, changes, t, footnotes))
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
    """Return the scores that can be compared, and the seconds that methods take."""
    if not view.records:
        return []
    known = view.found.metrics()
    trained = any(record.cell.training for record in view.records)
    costs = {"stylize_seconds", "fit_seconds"} if trained else {"stylize_seconds"}
    timed = [cost for cost in COSTS if cost.name in costs and cost.name in view.frame]
    return [*(column for column in view.scores if column.name in known), *timed]


def _changes(view: View, columns: Sequence[Column]) -> list[Claim]:
    """Return a claim per change and metric; their ids tell methods apart that share a factor."""
    names = [column.name for column in columns]
    if not names:  # nothing ran to its end
        return []
    found = (
        claim
        for factor in varied(view.frame)
        if factor != "seed"
        for claim in compared(view.frame, names, by=factor)
    )
    return [replace(claim, id=f"{claim.method} {claim.id}") for claim in found]


def _tables(rows: Iterable[ClaimRow]) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for row in rows:
        if row.estimate is not None:
            table = found.setdefault(effects.conditions(row.conditions), {})
            table.setdefault(row.claim_id, {})[row.metric] = row
    return found


def _blocks(
    view: View, columns: list[Column], changes: list[Claim], table: Table, footnotes: Footnotes
) -> list[Block]:
    by_method: dict[str, dict[str, Claim]] = {}
    for claim in changes:
        if claim.id in table:
            by_method.setdefault(claim.method, {})[claim.id] = claim
    return [
        _block(view, columns, [*claims.values()], table, footnotes) for claims in by_method.values()
    ]


def _block(
    view: View, columns: list[Column], claims: Sequence[Claim], table: Table, footnotes: Footnotes
) -> Block:
    baseline = {claim.factor: claim.levels[0] for claim in claims}
    rows = {metric: row for claim in claims for metric, row in table[claim.id].items()}
    cells = _at(view.frame, claims[0], baseline, next(iter(rows.values())).conditions)
    return Block(
        label=claims[0].method,
        baseline=baseline,
        cells=len(cells),
        means=[_mean(cells, rows.get(column.name)) for column in columns],
        lines=[_line(columns, claim, table[claim.id], footnotes) for claim in claims],
    )


def _at(
    frame: pd.DataFrame, claim: Claim, levels: Mapping[str, str], conditions: Mapping[str, object]
) -> pd.DataFrame:
    """Return a method's finished cells where all its factors are at their first level."""
    cells = chosen(frame, replace(claim, where=levels))
    alike = (cells[[*conditions]] == pd.Series(dict(conditions))).all(axis="columns")
    return cells[alike & (cells["side0"] == 0) & (cells["status"] == "done")]


def _mean(cells: pd.DataFrame, row: ClaimRow | None) -> str:
    """Write the mean that an effect starts from: a geometric one where effects are ratios."""
    if row is None or cells[row.metric].isna().all():
        return NONE
    values = cells[row.metric].dropna().astype(float)
    if row.unit != "×":
        return number(float(values.mean()))
    return number(float(np.exp(np.log(values[values > 0]).mean())))


def _line(
    columns: list[Column], claim: Claim, rows: Mapping[str, ClaimRow], footnotes: Footnotes
) -> Line:
    (usual, _), *_ = Counter(map(effects.size, rows.values())).most_common()
    notes = dict.fromkeys(note for row in rows.values() for note in row.notes)

    def entry(row: ClaimRow) -> Entry:
        own = effects.size(row)
        return Entry(row, Verdict.of(row), own if own != usual else "")

    found = [entry(rows[c.name]) if c.name in rows else None for c in columns]
    return Line(claim, usual, found, [*map(footnotes.mark, notes)])
