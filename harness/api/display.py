"""The plan and the progress of a run on the terminal; plain lines if there is no terminal."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from harness.analysis import comparable_costs
from harness.api.run_loop import RunObserver
from harness.execution.prepare import ReadyRun
from harness.plan import Action, Plan
from harness.records import Cell, Record, Score

if TYPE_CHECKING:
    from harness.execution.executors.ray.cluster import Cluster

SHORT_PHASES = {"fit": "fitting", "stylize": "stylizing", "measure": "measuring"}
COLORS = {"done": "green", "diverged": "yellow", "skipped": "yellow"}
MAX_LINES = 12
"""Workers with a visible line, and reasons for skips that a plan prints."""
ACTIONS: tuple[Action, ...] = ("run", "reuse", "score")

Kind = tuple[str, str]
"""A variant and its label: cells of one kind take about the same time."""


class Display(RunObserver):
    """The progress display of one command."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._cells: dict[str, Cell] = {}
        self._done = 0
        self._lines: dict[str, TaskID] = {}  # a line for each worker, by its place

    def announce(self, prepared: ReadyRun, cluster: Cluster | None = None) -> None:
        """Print the device, the encoder, warnings and a summary of the plan."""
        facts, suite = prepared.resources, prepared.suite
        profile = f", profile {suite.profile}" if suite.profile else ""
        self._say(f"[bold]{suite.name}[/]{profile} on {facts.device}, encoder {facts.encoder.name} "
                  f"({facts.encoder.origin})")  # fmt: skip
        for line in cluster.lines() if cluster else ():
            self._say(f"[yellow]{escape(line)}[/]" if line.startswith("!") else escape(line))
        for warning in prepared.warnings:
            self._say(f"[yellow]! {escape(warning)}[/]")
        for line in plan_lines(prepared.plan):
            self._say(line)

    def run_started(self, cells: Sequence[Cell], earlier: Iterable[Record] = ()) -> None:
        """Start the progress display.

        Args:
            cells: The cells to run.
            earlier: Records of the same variants from earlier runs, to estimate the time.
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
        """Show the phase of a running cell and, with several workers, its worker."""
        cell = self._cells.get(cell_id)
        if cell is not None and (line := self._lines.get(place)) is not None:
            text = f"{escape(place)} {SHORT_PHASES.get(phase, phase)} {escape(cell.name)}".lstrip()
            self._progress.update(
                line, description=text, completed=index, total=of, of=f"{index}/{of}"
            )

    def workers_changed(self, places: Sequence[str]) -> None:
        """Show a line for each worker, at most MAX_LINES of them."""
        for gone in self._lines.keys() - set(places):
            self._progress.remove_task(self._lines.pop(gone))
        for place in places:
            if place not in self._lines:
                self._lines[place] = self._progress.add_task(
                    f"{escape(place)} starting", total=None, of="", visible=False
                )
        for number, line in enumerate(self._lines.values()):
            self._progress.update(line, visible=number < MAX_LINES)
        self._workers = max(1, len(places))
        self._progress.update(self._all, of=self._of())

    def cell_finished(self, record: Record) -> None:
        """Print a line for a finished cell and update the progress bars."""
        self._done += 1
        self._estimate.finished(record)
        self._progress.update(self._all, completed=self._done, of=self._of())
        color = COLORS.get(record.status, "red")
        head = f"\\[{self._done}/{len(self._cells)}] [{color}]{record.status}[/]"
        line = f"{head} {escape(record.cell.name)}  {_seconds(record)}{_scores(record.scores)}"
        if not self.console.is_terminal:
            line += f"  {self._left()} left"
        self._say(line)
        if record.failure is not None:
            self._say(f"    [{color}]{escape(record.failure.message)}[/]")

    def waiting_for_lock(self, holder: str) -> None:
        """Print which process runs the suite at the moment."""
        self._say(f"[yellow]! waiting: {escape(holder)} runs this suite[/]")

    def interrupt_received(self) -> None:
        """Print the effect of the first Ctrl-C."""
        self._say("[yellow]stopping after this cell; press Ctrl-C again to stop now[/]")

    def interrupted(self, left_out: int = 0) -> None:
        """Print how to continue, and how many records MLflow lacks."""
        self._say("Interrupted. Finished cells are kept. To continue, run the same command again.")
        if left_out:
            self._say(f"MLflow lacks {left_out} records. To send them, run `nstbench sync`.")

    def failure_limit_reached(self, failed: int) -> None:
        """Print that the run ends because too many cells have failed."""
        self._say(f"[red]The run ends: {failed} cells failed, the limit of --max-failures.[/]")

    def warn(self, text: str) -> None:
        """Print a warning; lines stay whole, since it may have a command to copy."""
        self.console.print(f"[yellow]! {escape(text)}[/]", highlight=False, soft_wrap=True)

    def completed_mlflow(self, records: int) -> None:
        """Print how many records of earlier runs MLflow lacked, if any."""
        if records:
            self._say(f"sent to MLflow: {records} records of earlier runs that it lacked")

    def waiting_for_mlflow(self) -> None:
        """Print that the last records are being sent to MLflow."""
        self._say("sending the last records to MLflow; after Ctrl-C, `nstbench sync` sends them")

    def run_ended(self) -> None:
        """Stop the progress display."""
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
    """Yield how many cells run, are reused, scored again or skipped, and the reasons."""
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
    counted = Counter(reasons)
    for reason, count in itertools.islice(counted.items(), MAX_LINES):
        yield f"  [yellow]skipped: {count}: {escape(reason)}[/]"
    if (more := len(counted) - MAX_LINES) > 0:
        yield f"  [yellow]skipped for other reasons: {more}; the page has them[/]"


def entry_lines(plan: Plan, why: Mapping[str, str] | None) -> Iterator[str]:
    """Yield the action for every cell, with its reason if `why` maps cell ids to reasons."""
    for entry in plan.entries:
        line = f"{entry.action:5}  {entry.cell.id}  {entry.cell.name}"
        yield line if why is None else f"{line}  ({why[entry.cell.id]})"


def _seconds(record: Record) -> str:
    qualifier = comparable_costs.qualifier(record)
    if record.timing is None:
        return qualifier
    shared = record.timing.fit_shared or record.timing.fit_seconds < 0.1
    fit = "" if shared else f"fit {record.timing.fit_seconds:.1f} s + "
    rough = "≈ " if record.timing.noisy or record.timing.shared_by > 1 else ""
    more = f" ({qualifier})" if qualifier else ""
    return f"{fit}{rough}{record.timing.stylize_seconds:.2g} s{more}"


def _scores(scores: Sequence[Score]) -> str:
    return "".join(f"  {s.name} {s.value:.3f}" for s in scores if s.value is not None)


@dataclass
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1


@dataclass(frozen=True)
class _Costs:
    """Seconds that a cell adds to a run."""

    stylize: float = 0.0  # of all repeats
    fit: float = 0.0
    fit_shared: bool = False


def _costs(record: Record) -> _Costs | None:
    """Return the seconds of a record; none for images that were made before; None if unknown."""
    timing = record.timing
    if timing is None:
        return _Costs() if record.ok else None
    return _Costs(timing.stylize_seconds * timing.repeats, timing.fit_seconds, timing.fit_shared)


class Estimate:
    """Estimates the time left from the times of finished cells.

    Cells are counted by kind, because a suite of ten thousand cells has few kinds.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = {cell.id: _kind(cell) for cell in cells}
        self._fits = {cell.fit_id: _kind(cell) for cell in cells}
        self._left = Counter(self._cells.values())
        self._fits_left = Counter(self._fits.values())
        self._stylize: dict[str, _Mean] = defaultdict(_Mean)
        self._fit: dict[str, _Mean] = defaultdict(_Mean)
        self._before: dict[str, _Costs] = {}  # by variant, from earlier runs

    def learn(self, record: Record) -> None:
        """Use the times of an earlier run until this run has finished a cell of the kind."""
        if (costs := _costs(record)) is not None:
            self._before[record.cell.variant] = costs

    def finished(self, record: Record) -> None:
        """Add the times of a finished cell."""
        cell = record.cell
        if planned := self._cells.pop(cell.id, None):
            self._left[planned] -= 1
        if fitted := self._fits.pop(cell.fit_id, None):
            self._fits_left[fitted] -= 1
        costs = _costs(record)
        if costs is None:
            return
        for key in _kind(cell):
            self._stylize[key].add(costs.stylize)
            if fitted and not costs.fit_shared:
                self._fit[key].add(costs.fit)

    def seconds(self) -> float | None:
        """Return the seconds left, or None while the time of some kind is unknown."""
        stylize = {variant: costs.stylize for variant, costs in self._before.items()}
        fit = {variant: costs.fit for variant, costs in self._before.items()}
        parts = [
            *_parts(self._left, self._stylize, stylize),
            *_parts(self._fits_left, self._fit, fit),
        ]
        known = [seconds for seconds in parts if seconds is not None]
        return sum(known) if len(known) == len(parts) else None


def _kind(cell: Cell) -> Kind:
    return (cell.variant, cell.label)


def _parts(
    left: Counter[Kind], seen: dict[str, _Mean], before: dict[str, float]
) -> Iterable[float | None]:
    for kind, count in left.items():
        if count:
            known = next((seen[key] for key in kind if key in seen), None)
            each = known.total / known.count if known else before.get(kind[0])
            yield None if each is None else count * each
