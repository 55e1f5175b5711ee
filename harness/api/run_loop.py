"""The loop of a run: send jobs to an executor, store each outcome, notify the observers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.api.interrupts import InterruptHandler
from harness.execution.executors import Executor
from harness.execution.executors.local import LocalExecutor
from harness.execution.image_encoding import encode_images
from harness.execution.jobs import Outcome
from harness.execution.prepare import ReadyRun
from harness.records import Calibration, Cell, Failure, Record, Run
from harness.store import Store

if TYPE_CHECKING:
    from harness.execution.executors.base import Watch
    from harness.execution.executors.ray.cluster import Cluster
    from harness.tracking.background_thread import BackgroundTracker


class RunObserver:
    """Receives the events of a run; subclasses override those that concern them."""

    def run_started(self, cells: Sequence[Cell], earlier: Iterable[Record]) -> None:
        """Called before workers start.

        Args:
            cells: Those that will run.
            earlier: Stored records of their variants, to estimate the time from.
        """

    def workers_starting(self) -> None:
        """Called while workers start: now is the time for work that would disturb timed cells."""

    def cell_finished(self, record: Record) -> None:
        """Called after a record has been stored."""

    def failure_limit_reached(self, failed: int) -> None:
        """Called once if too many cells failed: the run ends after the running cells."""

    def run_ended(self) -> None:
        """Called at the end, also after an exception."""


class MlflowObserver(RunObserver):
    """Logs every record to MLflow."""

    def __init__(self, tracker: BackgroundTracker) -> None:
        self._tracker = tracker

    def workers_starting(self) -> None:
        """Wait until MLflow is imported and connected."""
        self._tracker.wait_until_connected()

    def cell_finished(self, record: Record) -> None:
        """Log the record."""
        self._tracker.cell(record)


def make_executor(ready: ReadyRun, watch: Watch, cluster: Cluster | None) -> Executor:
    """Return an executor for a Ray cluster, or for this machine without one."""
    resources, timeout = ready.resources, ready.options.timeout
    if cluster is None:
        return LocalExecutor(resources, watch.progress, timeout)
    from harness.execution.executors.ray.executor import RayExecutor

    return RayExecutor(cluster, resources, watch, timeout)


def run_cells(
    ready: ReadyRun,
    run: Run,
    make_executor: Callable[[], Executor],
    observers: Sequence[RunObserver],
    interrupts: InterruptHandler,
) -> Run:
    """Run the cells of a plan and store each result as it arrives.

    Args:
        ready: The suite with its plan.
        run: The record of this invocation; returned with `finished` set if it ran to its end.
        make_executor: Called if any cell has to run.
        observers: Notified in this order.
        interrupts: Ends the run after the running cells.

    Raises:
        KeyboardInterrupt: The run ended at once; finished results are stored, workers have ended.
        WorkerError: No worker can be started.
    """
    store, todo, start = ready.store, [entry.cell for entry in ready.plan.todo], time.monotonic()
    _write_inputs(ready, run)
    if not todo:
        store.write_run(replace(run, finished=True))
        return replace(run, finished=True)
    executor = make_executor()
    interrupts.stop = executor.finish
    limit, failed = ready.options.failure_limit(len(todo)), 0
    try:
        _start(ready, todo, executor, observers)
        for outcome in executor.run(ready.batches()):
            _store(store, outcome)
            failed += not outcome.record.ok
            gives_up = failed == limit and not executor.finishing
            for observer in observers:
                observer.cell_finished(outcome.record)
                if gives_up:
                    observer.failure_limit_reached(failed)
            if gives_up:
                executor.finish()
        calibrations = () if executor.finishing else tuple(executor.calibrations())
        executor.close()
    except BaseException as error:
        _close_now(executor, store, error)
        raise
    finally:
        for observer in observers:
            observer.run_ended()
    return _write_finished(store, run, executor, calibrations, time.monotonic() - start)


def _write_inputs(ready: ReadyRun, run: Run) -> None:
    """Store the suite, its images and the run; update names and drop outdated checkpoints."""
    ready.store.write_suite(ready.suite.resolved)
    ready.write_inputs()
    ready.rename_records()
    ready.drop_checkpoints()
    ready.store.write_run(run)


def _start(
    ready: ReadyRun, todo: Sequence[Cell], executor: Executor, observers: Sequence[RunObserver]
) -> None:
    for observer in observers:
        observer.run_started(todo, ready.earlier_records())
    executor.start()
    for observer in observers:
        observer.workers_starting()


def _write_finished(
    store: Store,
    run: Run,
    executor: Executor,
    calibrations: tuple[Calibration, ...],
    seconds: float,
) -> Run:
    run = replace(
        run,
        environment=executor.environment,
        calibrations=calibrations,
        seconds=seconds,
        finished=not executor.finishing,
    )
    store.write_run(run)
    return run


def _close_now(executor: Executor, store: Store, error: BaseException) -> None:
    """End the workers; mark interrupted cells, unless an earlier result of theirs is stored."""
    cells = executor.under_way
    executor.close(now=True)
    if not isinstance(error, KeyboardInterrupt):
        return
    failure = Failure("Interrupted", "The run was interrupted while this cell ran.")
    for cell in cells:
        before = store.read(cell.id)
        if before is None or not before.ok:
            store.write(Record(cell, "interrupted", failure=failure), None, [])


def _store(store: Store, outcome: Outcome) -> None:
    """Write an outcome's record, images, trace and fit."""
    files, cell = outcome.files or encode_images(outcome), outcome.record.cell
    if outcome.fitted is not None:
        store.write_fit(cell, *outcome.fitted)
    if outcome.record.status == "diverged":
        store.drop_checkpoint(cell.fit_id)  # resuming would diverge again
    if files.png is None and store.image(cell.id) and outcome.record.ok:
        store.rewrite(outcome.record)  # only its scores are new
    else:
        store.write(outcome.record, files.png, outcome.trace, files.webps)
