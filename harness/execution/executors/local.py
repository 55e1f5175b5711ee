"""Run cells in one supervised worker process on this machine.

A crash or a timeout costs its own cell only: the pool starts a new worker for the next one. Timed
cells run alone; the parent stores and logs one result while the worker runs the next cell.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from harness.errors import WorkerError
from harness.execution.executors import spawn, worker
from harness.execution.executors.ipc import Sender, take, temporary_folder
from harness.execution.jobs import Job, Outcome
from harness.plan import Resources
from harness.records import Calibration, Cell, Failure, Record, Status

MAX_SCHEDULED = 3
"""Batches in the pool: the one that runs, and two so that the worker never waits."""

MAX_LOG_CHARACTERS = 4000
"""Of the end of a crashed worker's log that the record of its cell keeps."""


@dataclass(eq=False)
class _Batch:
    """The cells that run together, packed for the worker."""

    cells: Sequence[Cell]
    packed: Sequence[bytes]
    target: Path  # where the worker writes their outcomes
    attempts: tuple[Failure, ...] = ()  # how earlier attempts ended
    future: Any = None

    def split(self) -> list[_Batch]:
        """Return one batch for each cell."""
        return [
            _Batch([cell], [packed], self.target.with_name(f"{self.target.name}-{index}"))
            for index, (cell, packed) in enumerate(zip(self.cells, self.packed, strict=True))
        ]


class LocalExecutor:
    """Runs jobs in order. `on_progress(cell id, phase, index, of)` is called in another thread.

    Args:
        resources: What all cells share.
        on_progress: Receives the progress of the running cell.
        timeout: Seconds that a cell may take, its fit included; then the system kills the worker.
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
        self._scheduled: tuple[_Batch, ...] = ()  # in the order of their outcomes
        self._running: _Batch | None = None
        self._phase = ""  # of the running batch
        self._bad_fits: dict[str, str] = {}  # fit id -> how its first cell ended
        self._pool = ProcessPool(
            max_workers=1,
            initializer=worker.start,
            initargs=(resources, self._worker_end, self._log, timeout),
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
        retries: list[_Batch] = []
        while True:
            room = max(0, MAX_SCHEDULED - len(self._scheduled) - len(retries))
            new = list(islice(packed, room))
            self._scheduled = (*retries, *self._scheduled, *new)
            for batch in [*retries, *new]:
                vetoes = [self._veto("all"), self._veto(batch.cells[0].fit_id)]
                batch.future = self._schedule(worker.execute, batch.packed, batch.target, vetoes)
            if not self._scheduled:
                return
            outcomes, retries = self._receive(self._scheduled[0])
            self._scheduled = self._scheduled[1:]
            yield from outcomes

    def finish(self) -> None:
        """Finish the running cell and start no other; safe to call in a signal handler."""
        self.finishing = True
        self._veto("all").touch()

    @property
    def under_way(self) -> list[Cell]:
        """The cells that the worker runs."""
        batch = self._running
        return list(batch.cells) if batch and batch in self._scheduled else []

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
            path: Path | None = batch.future.result()
        except BrokenProcessPool:
            raise self._start_error() from None
        except ProcessExpired as error:
            return self._retry_or_fail(batch, error.exitcode)
        except CancelledError:  # by _listen
            return self._retry_or_fail(batch, 0)
        if path is None:
            untried = () if self.finishing else map(self._untried, batch.cells)
            return list(untried), []
        return [
            replace(outcome, record=replace(outcome.record, attempts=attempts))
            for outcome in take(path)
            for attempts in [(*batch.attempts, *outcome.record.attempts)]
        ], []

    def _retry_or_fail(self, batch: _Batch, code: int) -> tuple[list[Outcome], list[_Batch]]:
        """Run the cells of a batch again one by one, and a crashed cell once more."""
        status: Status = "crashed"
        how, log = _describe_exit(code), self._read_log()
        failure = Failure("Crashed", f"The worker process died with {how}.", log)
        if code == -signal.SIGALRM and self._timeout:
            message = f"It did not end within {self._timeout:g} s; --timeout sets how many."
            status, failure = "timeout", Failure("Timeout", message)
        if len(batch.cells) > 1:
            return [], batch.split()
        if status == "crashed" and not batch.attempts and not self.finishing:
            return [], [replace(batch, attempts=(failure,))]
        (cell,) = batch.cells
        if self._running is batch and self._phase == "fit":
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
            if isinstance(message, dict):  # from a worker that starts
                self.environment = message
                if self._running is not None and not self._running.future.done():
                    self._running.future.cancel()  # the pool ignores workers that exit with code 0
                continue
            cell_id, phase, index, of = message
            if phase == "begin":
                ids = {batch.cells[0].id: batch for batch in self._scheduled}
                self._running = ids.get(cell_id)
            self._phase = phase
            self._on_progress(cell_id, phase, index, of)


def _describe_exit(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
