"""Claims of the suite, with their verdicts and intervals."""

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
from reports.formatting.effects import Footnotes, Verdict
from reports.templating import fill
from reports.view_model import WORDS, View

title = "Claims"
order = 22


@dataclass(frozen=True)
class Line:
    """One claim under one set of conditions, by one metric."""

    row: ClaimRow
    method: str  # the label whose cells are compared, or an empty string
    verdict: Verdict
    place: Place | None
    reason: str  # why there is no effect
    conditions: str  # those that differ between rows
    notes: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """Lines that share a metric and an axis."""

    metric: str
    unit: str
    direction: str
    control: bool
    axis: Axis | None
    lines: list[Line]


@dataclass(frozen=True)
class Study:
    """The claims of one suite, evaluated on its cells; p values are corrected within the suite."""

    title: str
    groups: list[Group]
    secondary: list[Group]
    secondary_count: int
    conditions: str
    failed_controls: list[str]


def render(view: View) -> Markup | None:
    """Render every verdict with its interval."""
    footnotes = Footnotes()
    views = [one for one in view.parts if one.run.claims and one.records]
    if not views:
        return None
    rows = [row for one in views for row in one.claims]
    return fill(
        "claims",
        studies=[_study(one, footnotes) for one in views],
        footnotes=footnotes.texts,
        has_circular=any(row.circular for row in rows),
        verdicts=", ".join(row.verdict for row in rows),
        text=effects,
    )


def _study(view: View, footnotes: Footnotes) -> Study:
    rows = view.claims
    shared = _shared(rows)
    failures = failed_controls(rows)
    claims = {claim.id: claim for claim in view.run.claims}
    builder = _GroupBuilder(claims, shared, failures, footnotes)
    return Study(
        title=view.qualify(""),
        groups=builder.groups([row for row in rows if row.primary]),
        secondary=builder.groups([row for row in rows if not row.primary]),
        secondary_count=sum(not row.primary for row in rows),
        conditions=effects.conditions(shared),
        failed_controls=[f"{text[0].upper()}{text[1:]}." for text in failures],
    )


def _shared(rows: Sequence[ClaimRow]) -> dict[str, Any]:
    """Return the conditions that are equal in all rows that have them."""
    items = [*dict.fromkeys(item for row in rows for item in row.circumstances.items())]
    values = Counter(name for name, _ in items)
    return {name: value for name, value in items if values[name] == 1}


class _GroupBuilder:
    """Builds groups of lines; primary and secondary rows share the footnotes."""

    def __init__(
        self,
        claims: Mapping[str, Claim],
        shared: Mapping[str, Any],
        shown_notes: Sequence[str],
        footnotes: Footnotes,
    ) -> None:
        self._claims = claims
        self._shared = shared
        self._shown_notes = shown_notes  # notes that the page already shows above the table
        self._footnotes = footnotes

    def groups(self, rows: Sequence[ClaimRow]) -> list[Group]:
        """Return the rows by metric, controls last."""
        return [*self._by_metric(rows, control=False), *self._by_metric(rows, control=True)]

    def _by_metric(self, rows: Sequence[ClaimRow], *, control: bool) -> Iterator[Group]:
        groups: dict[str, list[ClaimRow]] = {}
        for row in rows:
            if bool(row.control) is control:
                groups.setdefault(row.metric, []).append(row)
        for metric, group in groups.items():
            yield self._group(metric, group, control=control)

    def _group(self, metric: str, rows: list[ClaimRow], *, control: bool) -> Group:
        shared_axis, first = axis(rows), rows[0]
        return Group(
            metric=metric,
            unit="ratio" if first.unit == "×" else first.unit,
            direction=WORDS[first.better],
            control=control,
            axis=shared_axis,
            lines=[self._line(row, shared_axis) for row in rows],
        )

    def _line(self, row: ClaimRow, shared_axis: Axis | None) -> Line:
        notes = [note for note in row.notes if note not in self._shown_notes]
        reason = "; ".join(notes) if row.estimate is None else ""
        differing = {n: value for n, value in row.circumstances.items() if n not in self._shared}
        return Line(
            row=row,
            method=self._claims[row.claim_id].method,
            verdict=Verdict.of(row),
            place=shared_axis.place(row) if shared_axis else None,
            reason=reason,
            conditions=effects.conditions(differing),
            notes=() if reason else tuple(map(self._footnotes.mark, notes)),
        )
