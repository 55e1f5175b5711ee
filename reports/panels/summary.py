"""Summary at the head of the page: what ran, the verdicts or the best variants, warnings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from harness.analysis.claims import failed_controls
from reports import comparability
from reports.formatting.effects import Footnotes, Verdict
from reports.formatting.numbers import duration
from reports.panels import leaderboard
from reports.templating import fill
from reports.view_model import Column, Variant, View

title = "Summary"
order = 10

MAX_DRIFT = 0.05
"""Relative change of the calibration time during a run beyond which times are not reliable."""

SHOWN = 4
"""Number of warnings that are visible at once; a fold contains the others."""

NAMED = 3
"""Number of best variants that the summary names."""

_FIRST_CLAUSE = re.compile(r"(?<=[.:]) |(?<=,) (?=so |which |because )")
FAILURES = ("failed", "diverged", "crashed", "timeout", "out of memory", "skipped")
"""Counts that link to their reasons."""


@dataclass(frozen=True)
class Notice:
    """A warning, folded to its first clause."""

    head: str
    mark: str  # the colon or comma that ends the head if there is a rest
    rest: str

    @classmethod
    def of(cls, text: str, about: str = "") -> Notice:
        """Split a text after its first clause; `about` names the runs that it is about."""
        head, *rest = _FIRST_CLAUSE.split(text, maxsplit=1)
        plain = head.rstrip(":,") if rest else head
        prefix = f"{about}: " if about else ""
        return cls(prefix + plain, head[len(plain) :], "".join(rest))


@dataclass(frozen=True)
class Answer:
    """The verdicts on the claims of one suite."""

    title: str
    verdicts: list[tuple[Verdict, list[str]]]  # with the claims that have it
    unreliable: bool  # a control failed


@dataclass(frozen=True)
class Best:
    """The best variants of the first table of the leaderboard."""

    title: str
    ranked: int  # variants with results for the most pairs
    contenders: int
    places: list[tuple[Variant, list[Column]]]  # each with the columns in which it is the best
    others: list[Column]  # in which further variants are the best


def render(view: View) -> Markup:
    """Render the summary of one or several runs."""
    answers = [_answer(part) for part in view.parts if part.run.claims and part.records]
    warnings = [*map(Notice.of, comparability.warnings(view.sources)), *_warnings(view)]
    return fill(
        "summary",
        counts=counts(view),
        failures=FAILURES,
        ran=_ran(view),
        answers=answers,
        best=None if answers else _best(view),
        warnings=warnings,
        shown=SHOWN if len(warnings) <= SHOWN else SHOWN - 1,
        recipes=comparability.recipe_differences(view.sources),
        aliases=comparability.aliases(view.sources),
    )


def counts(view: View) -> dict[str, int]:
    """Return the number of cells by status; `done` is always present."""
    statuses = Counter(record.status.replace("_", " ") for record in view.records)
    uses = Counter(record.cell.id for part in view.parts for record in part.records)
    found = {
        "done": statuses.pop("done", 0),
        **statuses,
        "skipped": len(view.run.skipped),
        "not yet run": view.pending,
        "reused from earlier runs": view.run.reused,
        "in several runs": sum(count > 1 for count in uses.values()),
    }
    return {name: count for name, count in found.items() if count or name == "done"}


def _ran(view: View) -> list[str]:
    """Return what the cells are made of, and where and how long they ran."""
    pairs = {pair.name for size in view.sizes for pair in view.pairs(size)}
    anchors = sum(variant.anchor for variant in view.variants)
    runs = [part.run for part in view.parts]
    seconds = sum(run.seconds for run in runs) if all(run.finished for run in runs) else 0
    found = [
        _count(len(view.variants) - anchors, "variant"),
        _count(anchors, "anchor"),
        _count(len(pairs), "pair"),
        _count(len(view.seeds), "seed") if len(view.seeds) > 1 else "",
        ", ".join(f"{size} px" for size in view.sizes if size),
        *dict.fromkeys(f"{run.device}, {run.precision}" for run in runs),
        duration(seconds) if seconds else "",
    ]
    return [text for text in found if text]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number > 1)}" if number else ""


def _answer(view: View) -> Answer:
    rows = [row for row in view.claims if row.primary and not row.control]
    found: dict[str, tuple[Verdict, list[str]]] = {}
    for row in rows:
        verdict = Verdict.of(row)
        _, ids = found.setdefault(verdict.word, (verdict, []))
        if row.claim_id not in ids:
            ids.append(row.claim_id)
    return Answer(view.qualify(""), list(found.values()), bool(failed_controls(view.claims)))


def _best(view: View) -> Best | None:
    """Return the variants that are the only best in a score or in time, or None without any."""
    board = next(iter(leaderboard.boards(view, Footnotes())), None)
    if board is None:
        return None
    named = {column.name for column in (*view.scores, leaderboard.COSTS[0])}
    found: dict[str, tuple[Variant, list[Column]]] = {}
    for index, column in enumerate(board.columns):
        winners = [line.variant for line in board.contenders if line.entries[index].best]
        if column.name in named and len(winners) == 1:
            found.setdefault(winners[0].name, (winners[0], []))[1].append(column)
    places = sorted(found.values(), key=lambda place: -len(place[1]))
    others = [column for _, columns in places[NAMED:] for column in columns]
    if not places:
        return None
    ranked = sum(line.ranked for line in board.contenders)
    return Best(board.title, ranked, len(board.contenders), places[:NAMED], others)


def _warnings(view: View) -> Iterator[Notice]:
    """Yield the warnings of all runs, with the titles of their runs unless all runs have them."""
    found: dict[str, list[str]] = {}
    for part in view.parts:
        for warning in _warnings_of_run(part):
            found.setdefault(warning, []).append(part.title)
    for warning, labels in found.items():
        yield Notice.of(warning, ", ".join(labels) if len(labels) < len(view.parts) else "")


def _warnings_of_run(view: View) -> list[str]:
    """Return what readers must know before they use the numbers of a run, most important first."""
    run = view.run
    found = []
    if not run.finished:
        found.append("The run has not finished. This page shows the results so far.")
    elif view.pending:
        found.append(f"{view.pending} of the planned cells have no record.")
    found += [run.encoder.warning, *run.warnings]
    drift = max((c.drift for c in run.calibrations), default=0.0)
    if drift > MAX_DRIFT:
        found.append(
            f"The speed of the machine changed by {drift:.0%} during the run."
            " Times are approximate."
        )
    devices = {record.cell.device for record in view.records} - {run.device}
    if devices:
        found.append(f"Some cells ran on {', '.join(sorted(devices))}.")
    return [*dict.fromkeys(filter(None, found))]
