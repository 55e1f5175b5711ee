"""The life of a run: jobs go out, outcomes come back, are stored, mirrored and shown."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness import snapshots
from harness.display import Display
from harness.executors.local import LocalExecutor
from harness.images import to_png
from harness.jobs import Job, Outcome
from harness.mlflow_mirror import Mirror
from harness.prepare import Prepared
from harness.records import Calibration, Run
from harness.store import Store


def run_cells(prepared: Prepared, display: Display, mirror: Mirror, run: Run, most: int = 1) -> Run:
    """Run what the plan wants run, storing and mirroring each result as it comes.

    Args:
        prepared: The suite.
        display: Is told.
        mirror: Is given every record.
        run: What it sets out to do.
        most: Cells that may run in one batch, for throughput.

    Returns:
        The run, finished.

    Raises:
        KeyboardInterrupt: Ctrl-C; what was finished is stored, the worker is gone.
    """
    store, begin = prepared.store, time.monotonic()
    store.write_suite(prepared.suite.resolved)
    prepared.write_inputs()
    prepared.adopt_records()
    store.write_run(run)
    todo = [entry.cell for entry in prepared.plan.todo]
    if todo:
        executor = LocalExecutor(prepared.setup, display.progress)
        display.start(todo)
        paces = _work(executor, prepared.batches(most), prepared.store, display, mirror)
        run = replace(
            run,
            environment=executor.environment,
            calibrations=paces,
            seconds=time.monotonic() - begin,
        )
    run = replace(run, finished=True)
    store.write_run(run)
    return run


def _work(
    executor: LocalExecutor,
    batches: Iterable[Sequence[Job]],
    store: Store,
    display: Display,
    mirror: Mirror,
) -> tuple[Calibration, ...]:
    """Have a worker go through the jobs; return how fast it was before and after."""
    try:
        executor.start()
        mirror.settle()  # meanwhile; the first times would be disturbed
        for outcome in executor.run(batches):
            _keep(store, outcome)
            mirror.cell(outcome.record)
            display.finished(outcome.record)
        paces = tuple(executor.calibrations())
        executor.close()
    except BaseException:
        executor.close(now=True)
        raise
    finally:
        display.stop()
    return paces


def _keep(store: Store, outcome: Outcome) -> None:
    png = None if outcome.pixels is None else to_png(outcome.pixels)
    if outcome.fitted is not None:
        store.write_fit(outcome.record.cell, *outcome.fitted)
    if png is None and store.image(outcome.record.cell.id) and outcome.record.ok:
        store.rewrite(outcome.record)  # only its scores are new
    else:
        kept = {step: snapshots.encode(pixels) for step, pixels in outcome.snapshots.items()}
        store.write(outcome.record, png, outcome.trace, kept)
