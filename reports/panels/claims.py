"""What the suite set out to test, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from harness.analysis.claims import ClaimRow, failed_controls
from harness.records import Claim
from reports.charts.forest import Axis, Place, axis
from reports.formatting import effects
from reports.formatting.effects import Verdict
from reports.formatting.footnotes import Footnotes
from reports.templating import fill
from reports.view_model import WORDS, View

title = "Claims"
order = 22


@dataclass(frozen=True)
class Line:
    """One claim under one set of conditions, by one metric."""

    row: ClaimRow
    cells: str  # of which label
    verdict: Verdict
    place: Place | None
    reason: str  # why there is nothing to judge
    conditions: str  # those that not all rows share
    notes: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Lines that share a metric, and so an axis."""

    metric: str
    unit: str
    direction: str
    control: bool
    axis: Axis | None
    lines: list[Line]


@dataclass(frozen=True)
class Study:
    """What one suite claims: each is judged on its own cells, and its p values among its own."""

    title: str
    groups: list[Group]
    others: list[Group]
    others_count: int
    conditions: str
    broken: list[str]


def render(view: View) -> Markup | None:
    """Show every verdict beside the interval that it comes from."""
    footnotes = Footnotes()
    views = [one for one in view.parts if one.run.claims and one.records]
    if not views:
        return None
    rows = [row for one in views for row in one.claims]
    return fill(
        "claims",
        studies=[_study(one, footnotes) for one in views],
        footnotes=footnotes.texts,
        circular_somewhere=any(row.circular for row in rows),
        said=", ".join(row.verdict for row in rows),
        text=effects,
    )


def _study(view: View, footnotes: Footnotes) -> Study:
    rows = view.claims
    shared = _shared(rows)
    broken = failed_controls(rows)
    board = _Board({claim.id: claim for claim in view.run.claims}, shared, broken, footnotes)
    return Study(
        title=view.under(""),
        groups=board.groups([row for row in rows if row.primary]),
        others=board.groups([row for row in rows if not row.primary]),
        others_count=sum(not row.primary for row in rows),
        conditions=effects.conditions(shared),
        broken=[f"{why[0].upper()}{why[1:]}." for why in broken],
    )


def _shared(rows: Sequence[ClaimRow]) -> dict[str, Any]:
    """Return the conditions that are the same wherever there are any."""
    found = [*dict.fromkeys(item for row in rows for item in row.circumstances.items())]
    often = Counter(name for name, _ in found)
    return {name: value for name, value in found if often[name] == 1}


class _Board:
    """Makes lines of rows; primary and exploratory ones share the footnotes."""

    def __init__(
        self,
        claims: Mapping[str, Claim],
        shared: Mapping[str, Any],
        above: Sequence[str],
        footnotes: Footnotes,
    ) -> None:
        self._claims = claims
        self._shared = shared
        self._above = above  # notes that stand above all rows already
        self._footnotes = footnotes

    def groups(self, rows: Sequence[ClaimRow]) -> list[Group]:
        """Return the rows by metric, controls after all others."""
        return [*self._of(rows, control=False), *self._of(rows, control=True)]

    def _of(self, rows: Sequence[ClaimRow], *, control: bool) -> Iterator[Group]:
        found: dict[str, list[ClaimRow]] = {}
        for row in rows:
            if bool(row.control) is control:
                found.setdefault(row.metric, []).append(row)
        for metric, own in found.items():
            yield self._group(metric, own, control=control)

    def _group(self, metric: str, rows: list[ClaimRow], *, control: bool) -> Group:
        shared, first = axis(rows), rows[0]
        return Group(
            metric=metric,
            unit="as a ratio" if first.unit == "×" else first.unit and f"in {first.unit}",
            direction=WORDS[first.better],
            control=control,
            axis=shared,
            lines=[self._line(row, shared) for row in rows],
        )

    def _line(self, row: ClaimRow, shared: Axis | None) -> Line:
        notes = [note for note in row.notes if note not in self._above]
        reason = "; ".join(notes) if row.estimate is None else ""
        own = {n: value for n, value in row.circumstances.items() if n not in self._shared}
        return Line(
            row=row,
            cells=self._claims[row.claim_id].method,
            verdict=Verdict.of(row),
            place=shared.place(row) if shared else None,
            reason=reason,
            conditions=effects.conditions(own),
            notes=() if reason else tuple(map(self._footnotes.mark, notes)),
        )
