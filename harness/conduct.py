"""The life of a run: jobs go out, outcomes come back, are stored, mirrored and shown."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.display import Display
from harness.errors import TrackingError
from harness.executors.local import LocalExecutor
from harness.jobs import Outcome
from harness.prepare import Prepared
from harness.records import Record, Run
from harness.store import Store
from harness.tracking import Tracker


class Mirror:
    """A tracker that never costs a result: its first fault is told once, then it is silent."""

    def __init__(self, store: Store, uri: str, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self.tracker: Tracker | None = None
        if uri:
            self._try(lambda: setattr(self, "tracker", Tracker(store, uri)))

    def cell(self, record: Record) -> None:
        """Mirror a record, if there is a tracker."""
        if (tracker := self.tracker) is not None:
            self._try(lambda: tracker.cell(record))

    def summary(self, run: Run, records: list[Record], paths: list[Path]) -> None:
        """Mirror the variants and the page, if there is a tracker."""
        if (tracker := self.tracker) is not None:
            self._try(lambda: tracker.variants(records))
            self._try(lambda: tracker.report(run, paths))

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except TrackingError as error:
            self.tracker = None
            self._warn(
                f"{error}\nResults are safe on disk; `nstbench sync` brings MLflow up to date."
            )


def run_cells(prepared: Prepared, display: Display, uri: str, command: str) -> tuple[Run, Mirror]:
    """Run what the plan wants run, storing and mirroring each result as it comes.

    Raises:
        KeyboardInterrupt: Ctrl-C; what was finished is stored, the worker is gone.
    """
    store, begin = prepared.store, time.monotonic()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    run = prepared.run_record(command=command, started=now, tracking=uri)
    store.write_suite(prepared.suite.resolved)
    prepared.write_inputs()
    prepared.adopt_records()
    store.write_run(run)
    todo = [entry.cell for entry in prepared.plan.todo]
    if not todo:
        run = replace(run, finished=True)
        store.write_run(run)
        return run, Mirror(store, uri, display.warn)

    executor = LocalExecutor(prepared.setup, display.progress)
    display.start(todo)
    try:
        outcomes = executor.run(prepared.jobs())
        mirror = Mirror(store, uri, display.warn)  # while the worker starts
        for outcome in outcomes:
            _keep(store, outcome)
            mirror.cell(outcome.record)
            display.finished(outcome.record)
        executor.close()
    except BaseException:
        executor.close(now=True)
        raise
    finally:
        display.stop()
    run = replace(run, finished=True, seconds=time.monotonic() - begin)
    store.write_run(run)
    return run, mirror


def _keep(store: Store, outcome: Outcome) -> None:
    if outcome.fitted is not None:
        store.write_fit(outcome.record.cell, *outcome.fitted)
    if outcome.png is None and store.image(outcome.record.cell.id) and outcome.record.ok:
        store.rewrite(outcome.record)  # only its scores are new
    else:
        store.write(outcome.record, outcome.png, outcome.trace)
