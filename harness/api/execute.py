"""Run a suite from its file to its page: what `nstbench run` and `nstbench.run` have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api.suites import load_suite, suite_path
from harness.errors import NstbenchError, UsageError
from harness.execution.prepare import ReadyRun, RunOptions, prepare
from harness.records import Record, Run

if TYPE_CHECKING:
    from harness.api.display import Display
    from harness.execution.executors.ray.cluster import Cluster


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which suite to run, and how.

    Raises:
        UsageError: Two values exclude each other.
    """

    suite: Path
    options: RunOptions
    profile: str = "auto"
    overrides: tuple[str, ...] = ()
    executor: str = "local"
    ray_address: str = ""
    gpus_per_worker: float = 1.0
    scores_only: bool = False

    def __post_init__(self) -> None:
        """Check the values that depend on each other."""
        batch_cells = self.options.batch_cells
        if batch_cells > 1 and self.options.deterministic:
            raise UsageError(
                f"--batch-cells {batch_cells} cannot be combined with --deterministic: an image "
                "from a batch is not bitwise identical to the same image from a single cell, and "
                "the finished cells decide which cells share a batch. Leave out one of the two "
                "options."
            )
        if self.executor == "local" and self.ray_address:
            raise UsageError(f"--ray-address {self.ray_address} requires --executor ray.")

    @classmethod
    def of(cls, **values: Any) -> Request:
        """Return the request for values by name; those of `RunOptions` are sorted out."""
        own = {name: values.pop(name) for name in cls.__dataclass_fields__ if name in values}
        return cls(options=RunOptions(**values), **own)

    def check_share(self) -> None:
        """Raise UsageError if workers would share a GPU while they time single cells."""
        if self.options.batch_cells == 1 and self.gpus_per_worker < 1:
            raise UsageError(
                f"--gpus-per-worker {self.gpus_per_worker:g} requires --batch-cells: workers that "
                "share a GPU disturb each other's timing, and a timed cell needs a whole GPU."
            )


@dataclass(frozen=True)
class Finished:
    """A run that ended: all its cells have been tried, or the first Ctrl-C stopped it."""

    run: Run
    records: list[Record]
    page: Path
    tracked: bool  # MLflow has everything
    interrupted: bool


def connect(request: Request) -> Cluster | None:
    """Return the nodes of a Ray cluster, or None where cells run on this machine."""
    if request.executor == "local":
        return None
    from harness import suite as suites
    from harness.execution.executors.ray import cluster

    # An invalid suite is reported before a cluster starts.
    suites.load(suite_path(request.suite), "", request.overrides)
    found = cluster.connect(request.ray_address)
    return cluster.select_nodes(found, request.options.device, request.gpus_per_worker)


def prepare_run(request: Request, cluster: Cluster | None = None) -> ReadyRun:
    """Load the suite and find what it needs on this machine or on the cluster."""
    options = replace(request.options, hardware=cluster.hardware if cluster else None)
    suite = load_suite(request.suite, request.profile, request.overrides, options)
    ready = prepare(suite, options)
    return replace(ready, plan=replace(ready.plan, scores_only=request.scores_only))


@contextmanager
def ready_run(
    request: Request, display: Display, cluster: Cluster | None = None
) -> Iterator[ReadyRun]:
    """Prepare a suite and hold the lock of its folder.

    Raises:
        UsageError: No cell of the suite can run here, or a program of it is not allowed.
    """
    from harness.store.lock import lock_suite

    ready = prepare_run(request, cluster)
    ready.check_programs()
    with lock_suite(ready.store.root, display.waiting_for_lock) as waited:
        if waited:
            ready = prepare_run(request, cluster)  # the other run has finished cells of this plan
        display.announce(ready, cluster)
        if not ready.plan.entries:
            reasons = "The reasons are listed above."
            if display.console.quiet:
                reasons = "; ".join(dict.fromkeys(skip.reason for skip in ready.plan.skipped))
            raise UsageError(f"No cell of this suite can run here. {reasons}")
        yield ready


def execute(
    ready: ReadyRun, display: Display, uri: str, command: str, cluster: Cluster | None = None
) -> Finished:
    """Run the cells of a plan, log them to MLflow and write the page.

    Args:
        ready: The suite with its plan.
        display: Receives the progress.
        uri: The tracking URI; empty turns tracking off.
        command: How to repeat the run, for its record.
        cluster: The nodes of a Ray cluster; None runs the cells on this machine.

    Raises:
        KeyboardInterrupt: The run ended at once; finished results are stored.
        WorkerError: No worker can be started.
        StoreError: The folder of results cannot be written.
    """
    from harness.api import run_loop
    from harness.api.interrupts import InterruptHandler
    from harness.execution.machine import environment
    from harness.store import redact
    from harness.tracking import address
    from harness.tracking.background_thread import BackgroundTracker
    from reports import page

    ready.store.begin()
    address.announce_migration(uri, display.warn)
    tracker = BackgroundTracker(ready.store, uri, display.warn)
    try:
        with InterruptHandler(display.interrupt_received) as interrupts:
            run = ready.run_record(command=command, started=environment.now(), tracking=redact(uri))
            executor = partial(run_loop.make_executor, ready, display, cluster)
            observers = [run_loop.MlflowObserver(tracker), display]
            run = run_loop.run_cells(ready, run, executor, observers, interrupts)
            path = page.write(ready.store)
            records = list(ready.store.records(run))
            tracker.summary(run, records, ready.store.page_paths(), display.waiting_for_mlflow)
    except KeyboardInterrupt:
        display.interrupted(tracker.stop())
        raise
    except NstbenchError:
        tracker.stop()
        raise
    display.completed_mlflow(tracker.completed)
    return Finished(run, records, path, bool(uri) and tracker.working, interrupts.interrupted)
