"""Run cells in one supervised worker process on this machine.

A crash or a timeout costs its own cell only: the pool starts a new worker for the next one. Timed
cells run alone; the parent stores and logs one result while the worker runs the next cell.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

from pebble import ProcessExpired, ProcessPool

from harness.errors import WorkerError
from harness.execution.executors import spawn, worker
from harness.execution.executors.ipc import Sender, take, temporary_folder
from harness.execution.jobs import Job, Outcome
from harness.plan import Resources
from harness.records import Calibration, Cell, Failure, Record, Status

MAX_SCHEDULED = 3
"""Batches in the pool: the one that runs, and two so that the worker never waits."""

CHECK_SECONDS = 0.5
"""Interval of checks whether a cell exceeds its timeout or its worker has vanished."""

MAX_LOG_CHARACTERS = 4000
"""Of the end of a crashed worker's log that the record of its cell keeps."""


@dataclass
class _Batch:
    """The cells that run together, packed for the worker."""

    cells: Sequence[Cell]
    packed: Sequence[bytes]
    target: Path  # where the worker writes their outcomes
    attempts: tuple[Failure, ...] = ()  # how earlier attempts ended
    future: Any = None

    @property
    def id(self) -> str:
        return self.cells[0].id

    @property
    def fit_id(self) -> str:
        return self.cells[0].fit_id

    def split(self) -> list[_Batch]:
        """Return one batch for each cell."""
        return [
            _Batch([cell], [packed], self.target.with_name(f"{self.target.name}-{index}"))
            for index, (cell, packed) in enumerate(zip(self.cells, self.packed, strict=True))
        ]


@dataclass(frozen=True)
class _Position:
    """What the worker last reported."""

    pid: int = 0
    cell_id: str = ""
    phase: str = ""
    since: float | None = None  # start of the fit: the timeout excludes warm-up and calibration

    def advance(self, pid: int, cell_id: str, phase: str) -> _Position:
        """Return the position after a report; the first report of every cell is `begin`."""
        since = None if phase == "begin" else self.since
        if since is None and phase == "fit":
            since = time.monotonic()
        return _Position(pid, cell_id, phase, since)


class LocalExecutor:
    """Runs jobs in order. `on_progress(cell id, phase, index, of)` is called in another thread.

    Args:
        resources: What all cells share.
        on_progress: Receives the progress of the running cell.
        timeout: Seconds that a cell may take, its fit included; then the worker is killed.
    """

    def __init__(
        self,
        resources: Resources,
        on_progress: Callable[[str, str, int, int], None],
        timeout: float | None = None,
    ) -> None:
        spawn.check_script()
        context = spawn.WorkerContext()
        self.environment: Mapping[str, str] = resources.environment
        """Of the worker, once it has started."""
        self.finishing = False  # start no further cell
        self._on_progress, self._timeout = on_progress, timeout
        self._folder = temporary_folder()
        self._log = Path(self._folder.name) / "worker.log"
        # Not a queue: its lock would stay locked if the worker is killed while it holds it.
        self._messages, self._worker_end = context.Pipe(duplex=False)
        self._position = _Position()
        self._scheduled: dict[str, _Batch] = {}  # by batch id
        self._kill_reasons: dict[str, Exception] = {}  # of batches that were killed, by batch id
        self._failed_checks = 0  # consecutive checks that did not find the worker
        self._bad_fits: dict[str, str] = {}  # fit id -> how its first cell ended
        self._pool = ProcessPool(
            max_workers=1,
            initializer=worker.start,
            initargs=(resources, self._worker_end, self._log),
            context=context,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self) -> None:
        """Start the worker in the background."""
        self._schedule(worker.do_nothing)

    def wait_for_worker(self) -> None:
        """Start the worker and wait until it has imported what it needs.

        Raises:
            WorkerError: The worker does not start.
        """
        try:
            self._schedule(worker.do_nothing).result()
        except (ProcessExpired, BrokenProcessPool):
            raise self._start_error() from None

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job, in order; the jobs of a batch run together.

        Raises:
            WorkerError: No worker can be started.
        """
        packed = self._pack(batches)
        queue: deque[_Batch] = deque()  # scheduled, in the order of their outcomes
        retries: list[_Batch] = []
        while True:
            new = list(islice(packed, max(0, MAX_SCHEDULED - len(queue) - len(retries))))
            for batch in [*retries, *new]:
                self._scheduled[batch.id] = batch
                vetoes = [self._veto("all"), self._veto(batch.fit_id)]
                batch.future = self._schedule(worker.execute, batch.packed, batch.target, vetoes)
            queue = deque([*retries, *queue, *new])
            if not queue:
                return
            outcomes, retries = self._receive(queue.popleft())
            yield from outcomes

    def finish(self) -> None:
        """Finish the running cell and start no other; safe to call in a signal handler."""
        self.finishing = True
        self._veto("all").touch()

    @property
    def under_way(self) -> list[Cell]:
        """The cells that the worker runs."""
        batch = self._scheduled.get(self._position.cell_id)
        return list(batch.cells) if batch else []

    def calibrations(self) -> list[Calibration]:
        """Measure the machine's pace again at every size that ran; empty after a crash."""
        try:
            measured: list[Calibration] = self._schedule(worker.calibrate).result()
        except (ProcessExpired, BrokenProcessPool, WorkerError):
            return []
        return measured

    def close(self, *, now: bool = False) -> None:
        """End the worker after its last job, or at once."""
        if now:
            self._pool.stop()  # type: ignore[no-untyped-call]
        else:
            self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._worker_end.send(None)
        self._listener.join(timeout=5)
        self._folder.cleanup()

    def _pack(self, batches: Iterable[Sequence[Job]]) -> Iterator[_Batch]:
        folder = Path(self._folder.name)
        sender = Sender(folder)
        for number, jobs in enumerate(batches):
            if self.finishing:
                return
            packed = [sender.pack(job) for job in jobs]
            yield _Batch([job.cell for job in jobs], packed, folder / f"outcomes-{number}")

    def _veto(self, name: str) -> Path:
        """Return a file whose existence keeps jobs from starting: cancelling kills the worker."""
        return Path(self._folder.name) / f"veto-{name}"

    def _receive(self, batch: _Batch) -> tuple[Iterable[Outcome], list[_Batch]]:
        """Wait for a batch; return its outcomes and what has to run again."""
        try:
            path = self._wait_for(batch)
        except BrokenProcessPool:
            raise self._start_error() from None
        except TimeoutError:
            message = f"It did not end within {self._timeout:g} s; --timeout sets how many."
            return self._retry_or_fail(batch, "timeout", Failure("Timeout", message))
        except ProcessExpired as error:
            failure = _crash(error.exitcode, self._read_log())
            return self._retry_or_fail(batch, "crashed", failure)
        if path is None:
            untried = () if self.finishing else map(self._untried, batch.cells)
            return list(untried), []
        return [
            replace(outcome, record=replace(outcome.record, attempts=attempts))
            for outcome in take(path)
            for attempts in [(*batch.attempts, *outcome.record.attempts)]
        ], []

    def _wait_for(self, batch: _Batch) -> Path | None:
        """Wait for a batch and return its outcomes' file, or None if it was vetoed.

        Meanwhile the running batch is supervised; after a crash it may be another one.
        """
        while wait([batch.future], CHECK_SECONDS).not_done:
            running = self._scheduled.get(self._position.cell_id)
            if running is not None and (reason := self._vanished(running) or self._late(running)):
                self._kill_reasons[running.id] = reason
                running.future.cancel()  # kills the worker if it still exists
        del self._scheduled[batch.id]
        if batch.future.cancelled():
            raise self._kill_reasons.pop(batch.id)
        path: Path | None = batch.future.result()
        return path

    def _late(self, batch: _Batch) -> Exception | None:
        """Return an error if the running batch exceeds its timeout."""
        since = self._position.since
        if not self._timeout or since is None:
            return None
        late = time.monotonic() - since > self._timeout * len(batch.cells)
        return TimeoutError() if late else None

    def _vanished(self, batch: _Batch) -> Exception | None:
        """Return an error if the worker exited with code 0, which the pool overlooks."""
        try:
            os.kill(self._position.pid, 0)
            self._failed_checks = 0
        except ProcessLookupError:
            self._failed_checks += 1  # after the first one the pool may still report it itself
        if self._failed_checks < 2 or batch.future.done():
            return None
        return cast("Exception", ProcessExpired("vanished", 0))  # type: ignore[no-untyped-call]

    def _retry_or_fail(
        self, batch: _Batch, status: Status, failure: Failure
    ) -> tuple[list[Outcome], list[_Batch]]:
        """Run the cells of a batch again one by one, and a crashed cell once more."""
        retries = []
        if len(batch.cells) > 1:
            retries = batch.split()
        elif status == "crashed" and not batch.attempts and not self.finishing:
            retries = [replace(batch, attempts=(failure,))]
        if retries:
            self._position = _Position()  # of the new worker
            return [], retries
        (cell,) = batch.cells
        if self._position == replace(self._position, cell_id=cell.id, phase="fit"):
            self._bad_fits[cell.fit_id] = f"{status} for {cell.name}"
            self._veto(cell.fit_id).touch()
        return [Outcome(Record(cell, status, failure=failure, attempts=batch.attempts))], []

    def _untried(self, cell: Cell) -> Outcome:
        """Return the outcome of a cell whose fit hung or crashed for an earlier content."""
        why = self._bad_fits[cell.fit_id]
        failure = Failure("Untried", f"Its fit ended in {why}; it is not tried again in this run.")
        return Outcome(Record(cell, "failed", failure=failure))

    def _schedule(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return the future of a call in the worker.

        Raises:
            WorkerError: The pool has given up, because no worker can be started.
        """
        try:
            return self._pool.schedule(function, args=args)
        except RuntimeError:
            raise self._start_error() from None

    def _start_error(self) -> WorkerError:
        log = self._read_log()
        output = f":\n{log}" if log else "; its output is above."
        return WorkerError(f"The worker process does not start{output}")

    def _read_log(self) -> str:
        """Return the end of the worker's log, and empty the log."""
        text = self._log.read_text("utf-8", errors="replace") if self._log.exists() else ""
        self._log.write_bytes(b"")
        return text[-MAX_LOG_CHARACTERS:].strip()

    def _listen(self) -> None:
        while (message := self._messages.recv()) is not None:
            if isinstance(message, dict):
                self.environment = message
            else:
                pid, cell_id, phase, index, of = message
                self._position = self._position.advance(pid, cell_id, phase)
                self._on_progress(cell_id, phase, index, of)


def _crash(code: int, log: str) -> Failure:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Failure("Crashed", f"The worker process died with {how}.", log)
