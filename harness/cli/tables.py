"""Tables of results, claims, needs, garbage and findings for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.analysis import comparable_costs
from harness.records import Record

if TYPE_CHECKING:
    from harness.analysis.claims import ClaimRow
    from harness.cli.fetch import Need
    from harness.registry.diagnostics import Finding
    from harness.store.gc import GarbageGroup

ARROWS = {"lower": "↓", "higher": "↑", "neither": ""}
MARKS = {"good": ("✓", "green"), "fair": ("!", "yellow"), "bad": ("✗", "red")}
NEED_COLORS = {"stand-in": "yellow", "missing": "red"}
VERDICT_COLORS = {"supported": "green", "equivalent": "cyan", "contradicted": "red"}
CLAIM_NUMBERS = ("n", "first", "second", "p adj")


def print_results(console: Console, records: Sequence[Record]) -> None:
    """Print the mean of every score and time by variant, and below it what qualifies them."""
    console.print(_results(records))
    for note in (*_missing_scores(records), *_start_up(records)):
        console.print(Text(f"  {note}", "dim"))


def _results(records: Sequence[Record]) -> Table:
    table = _table("variant", "n", right={"n"}, no_wrap=True)
    scores = {score.name: score for record in records for score in record.scores}
    for score in scores.values():
        table.add_column(f"{score.name} {ARROWS[score.better]}", justify="right", overflow="fold")
    table.add_column("stylize s ↓", justify="right")
    table.add_column("fit s ↓", justify="right")
    for variant in dict.fromkeys(record.cell.variant for record in records):
        own = [r for r in records if r.cell.variant == variant]
        values = [[s.value for r in own for s in r.scores if s.name == n] for n in scores]
        table.add_row(
            Text(variant, style="dim" if own[0].cell.anchor else ""),
            str(sum(r.ok for r in own)) + (f"/{len(own)}" if not all(r.ok for r in own) else ""),
            *(_mean([v for v in column if v is not None]) for column in values),
            _mean_cost(own, "stylize_seconds"),
            _mean_cost(own, "fit_seconds"),
        )
    return table


def _mean_cost(records: Sequence[Record], cost: str) -> str:
    """Return the mean of a cost of one variant, with what qualifies it."""
    found = [getattr(record.timing, cost) for record in records if record.timing]
    qualifiers = {comparable_costs.qualifier(record, cost) for record in records if record.ok}
    if not found and comparable_costs.NOT_MEASURED in qualifiers:
        return comparable_costs.NOT_MEASURED
    return _mean(found) + ("*" if comparable_costs.INCLUDES_START_UP in qualifiers else "")


def _start_up(records: Sequence[Record]) -> Iterator[str]:
    """Yield the meaning of the mark on times that include start-up, if there are such times."""
    qualifier = comparable_costs.INCLUDES_START_UP
    if any(comparable_costs.qualifier(record) == qualifier for record in records):
        yield f"* {comparable_costs.EXPLANATIONS[qualifier]}"


def _missing_scores(records: Sequence[Record]) -> Iterator[str]:
    """Yield one sentence per score that some images do not have."""
    images = [record for record in records if record.ok]
    for name in dict.fromkeys(score.name for record in images for score in record.scores):
        scores = [score for record in images if (score := record.score(name))]
        missing = [score for score in scores if score.value is None]
        if missing and missing[0].lens != "none":  # without a network, a warning said it before
            several = len({score.why_missing for score in missing}) > 1
            yield (
                f"{name} is not available for {len(missing)} of {len(scores)} images"
                f"{', for example' if several else ''}: {missing[0].why_missing}"
            )


def print_claims(console: Console, rows: Sequence[ClaimRow]) -> None:
    """Print a table of claims with their verdicts, and below it the notes that qualify them."""
    from harness.analysis.claims.export import HEADINGS, cells, footnotes

    table = _table(*HEADINGS, right=set(CLAIM_NUMBERS), no_wrap=True)
    for before, row in zip((None, *rows), rows, strict=False):
        *facts, verdict = cells(row)
        if before and (before.claim_id, before.factors) == (row.claim_id, row.factors):
            facts[:2] = "", ""
        style = "" if row.primary else "dim"
        color = VERDICT_COLORS.get(row.verdict.split(" ")[0], "yellow")
        table.add_row(*(Text(fact, style) for fact in facts), Text(verdict, color))
    console.print(table)
    for note in footnotes(rows):
        console.print(Text(f"  {note}", "dim"))


def print_needs(console: Console, needs: Sequence[Need]) -> None:
    """Print a table of what a suite needs, and below it the reasons for what is missing."""
    table = _table("kind", "name", "state", "MB", "source", "SHA-256", right={"MB"}, fold=True)
    for need in needs:
        state = Text(need.state, style="" if need.real else NEED_COLORS[need.state])
        size = f"{need.megabytes:.1f}" if need.megabytes is not None else ""
        origin = urlsplit(need.origin).hostname or need.origin
        table.add_row(need.kind, need.name, state, size, escape(origin), need.sha256[:12])
    console.print(table)
    reasons = dict.fromkeys(need.why for need in needs if need.why)
    for why in reasons:
        names = ", ".join(need.name for need in needs if need.why == why)
        console.print(f"[yellow]! {escape(names)}: {escape(why)}[/]", highlight=False)


def print_garbage(
    console: Console, garbage: Mapping[str, Sequence[GarbageGroup]], *, removed: bool
) -> None:
    """Print a table of unreferenced files, and how much space they free."""
    table = _table("suite", "unreferenced", "count", "MB", "", right={"count", "MB"})
    for suite, groups in garbage.items():
        for group in groups:
            why = Text(f"kept: {group.kept}" if group.kept else "", style="dim")
            table.add_row(suite, group.kind, str(len(group.paths)), f"{group.megabytes:.1f}", why)
    if not table.rows:
        console.print("Nothing to delete.")
        return
    console.print(table)
    freed = sum(
        group.megabytes for groups in garbage.values() for group in groups if not group.kept
    )
    text = f"Freed {freed:.1f} MB." if removed else f"To free {freed:.1f} MB, pass --yes."
    console.print(text, highlight=False)


def print_findings(console: Console, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Print findings by section as they arrive, and yield them again."""
    section = ""
    for finding in findings:
        if finding.section != section:
            section = finding.section
            console.print(f"[bold]{section}[/]")
        mark, color = MARKS[finding.state]
        line = f"  [{color}]{mark}[/] {escape(finding.name)}: {escape(finding.what)}"
        console.print(line, highlight=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"      {escape(finding.remedy)}", highlight=False, style="dim")
        yield finding


def _table(*titles: str, right: set[str], no_wrap: bool = False, fold: bool = False) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    for title in titles:
        table.add_column(
            title, justify="right" if title in right else "left", no_wrap=no_wrap,
            overflow="fold" if fold else "ellipsis",
        )  # fmt: skip
    return table


def _mean(values: Sequence[float]) -> str:
    return f"{mean(values):.3g}" if values else "–"
