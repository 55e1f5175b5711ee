"""Run cells in one supervised worker process on this machine.

A crash or a time-out affects one cell: the pool starts a new worker for the next one. Timed cells
run alone; the parent stores and logs a result while the worker runs the next cell.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pebble import ProcessExpired, ProcessPool

from harness.errors import StoreError, WorkerError
from harness.execution.executors import worker
from harness.execution.executors.ipc import Sender, take
from harness.execution.jobs import Job, Outcome, Setup
from harness.records import Calibration, Cell, Failure, Record, Status

MAX_SENT = 3
"""Batches in the pool: the running one, and two so that the worker never waits."""

POLL_SECONDS = 0.5
"""Interval between two checks for a cell past its time limit and for a worker that is gone."""

MAX_LOG_LENGTH = 4000
"""Characters of a crashed worker's log that the record keeps, from its end."""


@dataclass(frozen=True)
class _Batch:
    """Cells that run together."""

    cells: Sequence[Cell]
    packed: Sequence[bytes]
    target: Path  # file for the outcomes
    future: Any = None
    attempts: tuple[Failure, ...] = ()  # failures of earlier attempts

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
    """The worker's position in its work, from its latest message."""

    pid: int = 0
    cell_id: str = ""
    phase: str = ""
    since: float | None = None  # start of the fit: the limit excludes warm-up and calibration

    def advance(self, pid: int, cell_id: str, phase: str) -> _Position:
        """Return the next position. The first phase of every cell is `begin`."""
        since = None if phase == "begin" else self.since
        if since is None and phase == "fit":
            since = time.monotonic()
        return _Position(pid, cell_id, phase, since)


class LocalExecutor:
    """Runs jobs in order.

    Args:
        setup: Shared by all cells.
        on_progress: Called as `(cell id, phase, index, of)`, from another thread.
        timeout: Limit for a cell, its fit included, seconds; after it, the worker is killed.
    """

    def __init__(
        self,
        setup: Setup,
        on_progress: Callable[[str, str, int, int], None],
        timeout: float | None = None,
    ) -> None:
        context = multiprocessing.get_context("spawn")  # fork would share torch's threads
        self.environment: Mapping[str, str] = setup.environment
        """Of the worker, as soon as it has started."""
        self._on_progress, self._timeout = on_progress, timeout
        self._folder = _temporary_folder()
        self._log = Path(self._folder.name) / "worker.log"
        # Not a queue: a worker that is killed while it holds the queue's lock never releases it.
        self._messages, self._other_end = context.Pipe(duplex=False)
        self._position = _Position()
        self._waiting: deque[_Batch] = deque()  # for their outcomes
        self._sent: dict[str, _Batch] = {}  # by the id of the first cell
        self._errors: dict[str, Exception] = {}  # of cancelled batches, by the same key
        self._missing = 0  # successive checks that found no worker process
        self._bad_fits: dict[str, str] = {}  # fit id -> status and name of the cell that failed
        self.finishing = False
        self._pool = ProcessPool(
            max_workers=1,
            initializer=worker.start,
            initargs=(setup, self._other_end, self._log),
            context=context,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self) -> None:
        """Start the worker without waiting for it, so that the first job starts sooner."""
        self._pool.schedule(worker.ping)

    def wait_for_worker(self) -> None:
        """Start the worker and wait until it has imported its modules.

        Raises:
            WorkerError: The worker cannot be started.
        """
        try:
            self._pool.schedule(worker.ping).result()
        except (ProcessExpired, BrokenProcessPool):
            raise self._start_error() from None

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job, in order; the jobs of a batch run together.

        Raises:
            WorkerError: No worker can be started.
        """
        folder = Path(self._folder.name)
        sender = Sender(folder)
        for number, jobs in enumerate(batches):
            if self.finishing:
                break
            packed = [sender.pack(job) for job in jobs]
            batch = _Batch([job.cell for job in jobs], packed, folder / f"outcomes-{number}")
            self._waiting.append(self._send(batch))
            if len(self._waiting) == MAX_SENT:
                yield from self._next()
        while self._waiting:
            yield from self._next()

    def finish(self) -> None:
        """Complete the running cell and start no other. Safe to call from a signal handler."""
        self.finishing = True
        self._stop_file("all").touch()

    @property
    def under_way(self) -> list[Cell]:
        """The running cells."""
        batch = self._sent.get(self._position.cell_id)
        return list(batch.cells) if batch else []

    def calibrations(self) -> list[Calibration]:
        """Measure the machine's speed again, for the sizes that ran; empty after a crash."""
        try:
            calibrations: list[Calibration] = self._pool.schedule(worker.calibrate).result()
        except (ProcessExpired, BrokenProcessPool):
            return []
        return calibrations

    def close(self, *, now: bool = False) -> None:
        """End the worker: after its last job, or at once."""
        if now:
            self._pool.stop()  # type: ignore[no-untyped-call]
        else:
            self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._other_end.send(None)
        self._listener.join(timeout=5)
        self._folder.cleanup()

    def _send(self, batch: _Batch) -> _Batch:
        future = self._pool.schedule(
            worker.execute,
            args=[batch.packed, batch.target, [self._stop_file(x) for x in ("all", batch.fit_id)]],
        )
        sent = replace(batch, future=future)
        self._sent[sent.cells[0].id] = sent
        return sent

    def _next(self) -> Iterator[Outcome]:
        outcomes = self._receive(self._waiting[0])
        try:
            yield from outcomes
        finally:
            self._waiting.popleft()

    def _stop_file(self, scope: str) -> Path:
        """Return the file that stops batches from running: a fit id, or `all`.

        The pool's own cancellation would kill the worker and its running cell.
        """
        return Path(self._folder.name) / f"stop-{scope}"

    def _receive(self, batch: _Batch) -> Iterator[Outcome]:
        try:
            path = self._result(batch)
        except BrokenProcessPool:
            raise self._start_error() from None
        except TimeoutError:
            message = f"It did not end within {self._timeout:g} s; --timeout sets this limit."
            yield from self._retry_or_fail(batch, "timeout", Failure("Timeout", message))
        except ProcessExpired as error:
            failure = _describe_crash(error.exitcode, self._take_log())
            yield from self._retry_or_fail(batch, "crashed", failure)
        else:
            if path is None and not self.finishing:
                yield from (self._skip(cell) for cell in batch.cells)
            for outcome in take(path) if path else ():
                attempts = (*batch.attempts, *outcome.record.attempts)
                yield replace(outcome, record=replace(outcome.record, attempts=attempts))

    def _result(self, batch: _Batch) -> Path | None:
        """Wait for a batch and supervise the running one: after a crash it may be another one."""
        while wait([batch.future], POLL_SECONDS).not_done:
            running = self._sent.get(self._position.cell_id)
            if running is not None and (error := self._exited(running) or self._overdue(running)):
                self._errors[running.cells[0].id] = error
                running.future.cancel()  # kills the worker, if it is alive
        del self._sent[batch.cells[0].id]
        if batch.future.cancelled():
            raise self._errors.pop(batch.cells[0].id)
        path: Path | None = batch.future.result()
        return path

    def _overdue(self, batch: _Batch) -> Exception | None:
        since = self._position.since
        if not self._timeout or since is None:
            return None
        late = time.monotonic() - since > self._timeout * len(batch.cells)
        return TimeoutError() if late else None

    def _exited(self, batch: _Batch) -> Exception | None:
        """Return an error if the worker exited with code 0, which the pool does not notice."""
        try:
            os.kill(self._position.pid, 0)
            self._missing = 0
        except ProcessLookupError:
            self._missing += 1  # at the first check, the pool may not have noticed a crash yet
        if self._missing < 2 or batch.future.done():
            return None
        return cast("Exception", ProcessExpired("exited", 0))  # type: ignore[no-untyped-call]

    def _retry_or_fail(self, batch: _Batch, status: Status, failure: Failure) -> Iterator[Outcome]:
        """Run the cells of a batch again one by one, and a single crashed cell once more."""
        if len(batch.cells) > 1:
            retries = batch.split()
        elif status == "crashed" and not batch.attempts and not self.finishing:
            retries = [replace(batch, attempts=(failure,))]
        else:
            (cell,) = batch.cells
            if self._position == replace(self._position, cell_id=cell.id, phase="fit"):
                self._bad_fits[cell.fit_id] = f"{status} for {cell.name}"
                self._stop_file(cell.fit_id).touch()
            yield Outcome(Record(cell, status, failure=failure, attempts=batch.attempts))
            return
        self._position = _Position()  # the old one is that of a dead worker
        for one in [self._send(one) for one in retries]:
            yield from self._receive(one)

    def _skip(self, cell: Cell) -> Outcome:
        """Fail a cell whose fit hung or crashed for another content: it would do so again."""
        why = self._bad_fits[cell.fit_id]
        failure = Failure("Untried", f"Its fit ended in {why}; it is not tried again in this run.")
        return Outcome(Record(cell, "failed", failure=failure))

    def _start_error(self) -> WorkerError:
        return WorkerError(f"The worker process does not start:\n{self._take_log()}")

    def _take_log(self) -> str:
        """Return the end of the worker's log, and clear the log."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        self._log.write_bytes(b"")
        return text[-MAX_LOG_LENGTH:].strip()

    def _listen(self) -> None:
        while (message := self._messages.recv()) is not None:
            if isinstance(message, dict):
                self.environment = message
            else:
                pid, cell_id, phase, index, of = message
                self._position = self._position.advance(pid, cell_id, phase)
                self._on_progress(cell_id, phase, index, of)


def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is removed with the object.

    Raises:
        StoreError: No folder can be created.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="nstbench-", ignore_cleanup_errors=True)
    except OSError as error:
        raise StoreError(
            f"No folder for temporary files can be created: {error}. Set TMPDIR to another folder."
        ) from error


def _describe_crash(code: int, log: str) -> Failure:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Failure("Crashed", f"The worker process ended with {how}.", log)
