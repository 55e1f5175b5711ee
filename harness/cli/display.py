"""What the terminal shows: plan, progress, table. Plain lines where it is no terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from harness.cli.eta import Estimate
from harness.cli.run_loop import RunObserver
from harness.execution.prepare import ReadyRun
from harness.plan import Action, Plan
from harness.records import Cell, Record, Score

if TYPE_CHECKING:
    from harness.cli.fetch import Need
    from harness.execution.executors.ray.cluster import Cluster
    from harness.registry.diagnostics import Finding
    from harness.store.gc import GarbageGroup

ARROWS = {"lower": "↓", "higher": "↑", "neither": ""}
SHORT_PHASES = {"fit": "fitting", "stylize": "stylizing", "measure": "measuring"}
MARKS = {"good": ("✓", "green"), "fair": ("!", "yellow"), "bad": ("✗", "red")}
NEED_COLORS = {"stands in": "yellow", "missing": "red"}
COLORS = {"done": "green", "diverged": "yellow", "skipped": "yellow"}
MAX_LINES = 12
"""Of workers that are shown at a time."""
ACTIONS: tuple[Action, ...] = ("run", "reuse", "score")


class Display(RunObserver):
    """The running display of one invocation."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._cells: dict[str, Cell] = {}
        self._done = 0
        self._lines: dict[str, TaskID] = {}  # of each worker, by its place

    def announce(self, prepared: ReadyRun, fleet: Cluster | None = None) -> None:
        """Print where the suite runs, what stands in, and the plan line."""
        facts, suite = prepared.resources, prepared.suite
        profile = f", profile {suite.profile}" if suite.profile else ""
        self._say(f"[bold]{suite.name}[/]{profile} on {facts.device}, encoder {facts.encoder.name} "
                  f"({facts.encoder.origin})")  # fmt: skip
        for line in fleet.lines() if fleet else ():
            self._say(f"[yellow]{escape(line)}[/]" if line.startswith("!") else escape(line))
        for warning in prepared.warnings:
            self._say(f"[yellow]! {escape(warning)}[/]")
        for line in plan_lines(prepared.plan):
            self._say(line)

    def run_started(self, cells: Sequence[Cell], earlier: Iterable[Record] = ()) -> None:
        """Begin the progress display over the cells that will run.

        Args:
            cells: Those.
            earlier: Records of their variants, that tell how long they may take.
        """
        self._cells = {cell.id: cell for cell in cells}
        self._estimate, self._workers = Estimate(cells), 1
        for record in earlier:
            self._estimate.learn(record)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[of]}"),
            console=self.console,
        )
        self._all = self._progress.add_task("cells", total=len(cells), of=self._of())
        self._lines = {"": self._progress.add_task("starting the worker", total=None, of="")}
        self._live = Live(self._progress, console=self.console, refresh_per_second=8)
        if self.console.is_terminal:
            self._live.start()

    def progress(self, cell_id: str, phase: str, index: int, of: int, place: str = "") -> None:
        """Show where a running cell stands, and at which place where there are several."""
        cell = self._cells.get(cell_id)
        if cell is not None and (line := self._lines.get(place)) is not None:
            text = f"{escape(place)} {SHORT_PHASES.get(phase, phase)} {escape(cell.name)}".lstrip()
            self._progress.update(
                line, description=text, completed=index, total=of, of=f"{index}/{of}"
            )

    def staffed(self, places: Sequence[str]) -> None:
        """Show a line for each worker, of as many as there is room for."""
        for gone in self._lines.keys() - set(places):
            self._progress.remove_task(self._lines.pop(gone))
        for place in places:
            if place not in self._lines:
                self._lines[place] = self._progress.add_task(
                    f"{escape(place)} begins", total=None, of="", visible=False
                )
        for number, line in enumerate(self._lines.values()):
            self._progress.update(line, visible=number < MAX_LINES)
        self._workers = max(1, len(places))
        self._progress.update(self._all, of=self._of())

    def cell_finished(self, record: Record) -> None:
        """Print a line for a finished cell and move the bars on."""
        self._done += 1
        self._estimate.finished(record)
        self._progress.update(self._all, completed=self._done, of=self._of())
        color = COLORS.get(record.status, "red")
        head = f"\\[{self._done}/{len(self._cells)}] [{color}]{record.status}[/]"
        line = f"{head} {escape(record.cell.name)}  {_seconds(record)}{_scores(record.scores)}"
        if not self.console.is_terminal:
            line += f"  left {self._left()}"
        self._say(line)
        if record.failure is not None:
            self._say(f"    [{color}]{escape(record.failure.message)}[/]")

    def waits(self, holder: str) -> None:
        """Say whose turn it is in the suite's folder."""
        self._say(f"[yellow]! {escape(holder)} runs this suite; waiting for it to end[/]")

    def stops(self) -> None:
        """Say what the first Ctrl-C does."""
        self._say("[yellow]ending after this cell; Ctrl-C once more ends it now[/]")

    def interrupted(self, left_out: int = 0) -> None:
        """Say how to go on, and how many records MLflow lacks."""
        self._say("interrupted; what was finished is kept. The same command goes on from here.")
        if left_out:
            self._say(f"MLflow lacks {left_out} of it; `nstbench sync` completes it.")

    def gave_up(self, failed: int) -> None:
        """Say why the rest is left, where too many cells have failed."""
        self._say(f"[red]{failed} failed: the run ends here, as it was asked to.[/]")

    def warn(self, text: str) -> None:
        """Print a warning that is no reason to stop."""
        self._say(f"[yellow]! {escape(text)}[/]")

    def waiting_for_mlflow(self) -> None:
        """Say why the end is not there yet."""
        self._say("MLflow takes in the last records; Ctrl-C leaves them to `nstbench sync`")

    def run_ended(self) -> None:
        """End the progress display."""
        if self.console.is_terminal and self._lines:
            self._live.stop()

    def _of(self) -> str:
        hidden = len(self._lines) - MAX_LINES
        more = f", {hidden} more workers" if hidden > 0 else ""
        return f"{self._done}/{len(self._cells)}, {self._left()} left{more}"

    def _left(self) -> str:
        seconds = self._estimate.seconds()
        if seconds is None:
            return "?"
        minutes, rest = divmod(round(seconds / self._workers), 60)
        return f"{minutes}:{rest:02d}"

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=not self.console.is_terminal)


def plan_lines(plan: Plan) -> Iterable[str]:
    """Say how many cells run, are reused, are scored again and are skipped, with the reasons."""
    counts = {action: plan.count(action) for action in ACTIONS}
    yield (
        f"plan: {len(plan.entries)} cells: [bold]{counts['run']} to run[/], "
        f"{counts['reuse']} reused, {counts['score']} to be scored again, "
        f"{len(plan.skipped)} skipped"
    )
    why = [entry.why for entry in plan.entries if entry.action == "run" and entry.why != "new"]
    for reason in dict.fromkeys(why):
        yield f"  run again: {why.count(reason)}, {reason}"
    reasons = [skip.reason for skip in plan.skipped]
    for reason in dict.fromkeys(reasons):
        yield f"  [yellow]skipped: {reasons.count(reason)}: {escape(reason)}[/]"


def entry_lines(plan: Plan, why: Mapping[str, str] | None) -> Iterator[str]:
    """Say of every cell what will be done with it, and why where the reasons are given by id."""
    for entry in plan.entries:
        line = f"{entry.action:5}  {entry.cell.id}  {entry.cell.name}"
        yield line if why is None else f"{line}  ({why[entry.cell.id]})"


def results_table(records: Sequence[Record]) -> Table:
    """Return the mean of every score and time by variant, in plan order."""
    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    scores = {score.name: score for record in records for score in record.scores}
    table.add_column("variant", no_wrap=True)
    table.add_column("n", justify="right")
    for score in scores.values():
        table.add_column(f"{score.name} {ARROWS[score.better]}", justify="right", overflow="fold")
    table.add_column("stylize s ↓", justify="right")
    table.add_column("fit s ↓", justify="right")
    for variant in dict.fromkeys(record.cell.variant for record in records):
        own = [r for r in records if r.cell.variant == variant]
        values = [[s.value for r in own for s in r.scores if s.name == n] for n in scores]
        timings = [r.timing for r in own if r.timing]
        table.add_row(
            Text(variant, style="dim" if own[0].cell.anchor else ""),
            str(sum(r.ok for r in own)) + (f"/{len(own)}" if not all(r.ok for r in own) else ""),
            *(_mean([v for v in column if v is not None]) for column in values),
            _mean([t.stylize_seconds for t in timings]),
            _mean([t.fit_seconds for t in timings]),
        )
    return table


def _mean(values: Sequence[float]) -> str:
    return f"{mean(values):.3g}" if values else "–"


def _seconds(record: Record) -> str:
    if record.timing is None:
        return ""
    shared = record.timing.fit_shared or record.timing.fit_seconds < 0.1
    fit = "" if shared else f"fit {record.timing.fit_seconds:.1f} s + "
    rough = "≈ " if record.timing.noisy or record.timing.shared_by > 1 else ""
    return f"{fit}{rough}{record.timing.stylize_seconds:.2g} s"


def _scores(scores: Sequence[Score]) -> str:
    return "".join(f"  {s.name} {s.value:.3f}" for s in scores if s.value is not None)


def print_needs(console: Console, needs: Sequence[Need]) -> None:
    """Print what a suite needs as a table, and below it why something is not here."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for title in ("what", "name", "", "MB", "from", "SHA-256"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for need in needs:
        state = Text(need.state, style="" if need.real else NEED_COLORS[need.state])
        size = f"{need.megabytes:.1f}" if need.megabytes is not None else ""
        origin = urlsplit(need.origin).hostname or need.origin
        row = (need.kind, need.name, state, size, escape(origin), need.sha256[:12])
        table.add_row(*row)
    console.print(table)
    reasons = dict.fromkeys(need.why for need in needs if need.why)
    for why in reasons:
        names = ", ".join(need.name for need in needs if need.why == why)
        console.print(f"[yellow]! {escape(names)}: {escape(why)}[/]", highlight=False)


def print_heaps(
    console: Console, found: Mapping[str, Sequence[GarbageGroup]], *, removed: bool
) -> None:
    """Print what nobody needs as a table, and what was or can be done about it."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for title in ("suite", "what no run refers to", "number", "MB", ""):
        table.add_column(title, justify="right" if title in {"number", "MB"} else "left")
    for suite, heaps in found.items():
        for heap in heaps:
            why = Text(f"kept: {heap.kept}" if heap.kept else "", style="dim")
            table.add_row(suite, heap.kind, str(len(heap.paths)), f"{heap.megabytes:.1f}", why)
    if table.rows:
        console.print(table)
    freed = sum(heap.megabytes for heaps in found.values() for heap in heaps if not heap.kept)
    what = f"{freed:.1f} MB were freed." if removed else f"--yes frees {freed:.1f} MB."
    console.print(what if table.rows else "Nothing is to be freed.", highlight=False)


def showing(console: Console, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Pass findings on, printing each as it comes, section by section."""
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
