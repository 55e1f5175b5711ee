"""The life of a run: jobs go out, outcomes come back, are stored, mirrored and shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.cli.display import Display
from harness.cli.interrupts import InterruptHandler
from harness.execution.executors import Executor
from harness.execution.executors.local import LocalExecutor
from harness.execution.image_encoding import encoded
from harness.execution.jobs import Outcome, Setup
from harness.execution.prepare import ReadyRun
from harness.records import Calibration, Cell, Failure, Record, Run
from harness.store import Store
from harness.tracking.background_thread import BackgroundTracker

if TYPE_CHECKING:
    from harness.execution.executors.ray.cluster import Cluster


def on_this_machine(setup: Setup, display: Display, timeout: float | None) -> Executor:
    """Run cells here, one after the other."""
    return LocalExecutor(setup, display.progress, timeout)


def on_cluster(fleet: Cluster) -> Callable[[Setup, Display, float | None], Executor]:
    """Run cells wherever a cluster has room."""
    from harness.execution.executors.ray.executor import RayExecutor

    return lambda setup, display, timeout: RayExecutor(fleet, setup, display, timeout)


@dataclass(frozen=True)
class RunOptions:
    """How cells are run, and when a run gives up."""

    batch_cells: int = 1  # cells that may run in one batch, for throughput
    timeout: float | None = None  # seconds that a cell may take, its fit included
    failures: int | None = None  # so many failed cells end the run
    executor: Callable[[Setup, Display, float | None], Executor] = on_this_machine


def run_cells(
    prepared: ReadyRun,
    display: Display,
    mirror: BackgroundTracker,
    run: Run,
    rules: RunOptions,
    stopping: InterruptHandler,
) -> Run:
    """Run what the plan wants run, storing and mirroring each result as it comes.

    Args:
        prepared: The suite.
        display: Is told.
        mirror: Is given every record.
        run: What it sets out to do.
        rules: How, and when it gives up.
        stopping: Asks for an end after the running cell.

    Returns:
        The run, finished unless it was stopped or gave up.

    Raises:
        KeyboardInterrupt: It is to end now; what was finished is stored, the worker is gone.
        WorkerError: No worker can be started.
    """
    store, begin = prepared.store, time.monotonic()
    store.write_suite(prepared.suite.resolved)
    prepared.write_inputs()
    prepared.adopt_records()
    prepared.begin_anew()
    store.write_run(run)
    todo = [entry.cell for entry in prepared.plan.todo]
    if todo:
        executor = rules.executor(prepared.setup, display, rules.timeout)
        stopping.act = executor.finish
        display.start(todo, prepared.earlier())
        paces = _work(executor, prepared, rules, display, mirror)
        run = replace(
            run,
            environment=executor.environment,
            calibrations=paces,
            seconds=time.monotonic() - begin,
        )
        run = replace(run, finished=not executor.finishing)
    else:
        run = replace(run, finished=True)
    store.write_run(run)
    return run


def _work(
    executor: Executor,
    prepared: ReadyRun,
    rules: RunOptions,
    display: Display,
    mirror: BackgroundTracker,
) -> tuple[Calibration, ...]:
    """Have a worker go through the jobs; return how fast it was before and after."""
    failed = 0
    try:
        executor.start()
        mirror.wait_until_connected()  # connecting would disturb the first timings
        for outcome in executor.run(prepared.batches(rules.batch_cells)):
            _keep(prepared.store, outcome)
            mirror.cell(outcome.record)
            display.finished(outcome.record)
            failed += not outcome.record.ok
            if failed == rules.failures and not executor.finishing:
                display.gives_up(failed)
                executor.finish()
        paces = () if executor.finishing else tuple(executor.calibrations())
        executor.close()
    except BaseException as error:
        under_way = executor.under_way
        executor.close(now=True)
        if isinstance(error, KeyboardInterrupt):
            _mark(prepared.store, under_way)
        raise
    finally:
        display.stop()
    return paces


def _mark(store: Store, cells: Sequence[Cell]) -> None:
    """Say of cells that were cut off that they were; a result from before stays."""
    for cell in cells:
        before = store.read(cell.id)
        if before is None or not before.ok:
            failure = Failure("Interrupted", "The run was ended while this cell was under way.")
            store.write(Record(cell, "interrupted", failure=failure), None, [])


def _keep(store: Store, outcome: Outcome) -> None:
    files = outcome.files or encoded(outcome)
    if outcome.fitted is not None:
        store.write_fit(outcome.record.cell, *outcome.fitted)
    if outcome.record.status == "diverged":
        store.drop_checkpoint(outcome.record.cell.fit_id)  # what went wrong is not gone on with
    if files.png is None and store.image(outcome.record.cell.id) and outcome.record.ok:
        store.rewrite(outcome.record)  # only its scores are new
    else:
        store.write(outcome.record, files.png, outcome.trace, files.webps)
