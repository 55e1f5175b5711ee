"""Cells in one supervised worker process on this machine.

A crash or a time-out takes its own cell and no other: the pool starts a new worker for the next
one. Timed cells run alone; the parent stores and logs one result while the worker is at the next.
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

AHEAD = 3
"""Jobs handed out at a time: the one that runs, and two so that the worker never waits."""

LOOK_SECONDS = 0.5
"""How often it is looked whether a cell is overdue, or its worker has vanished without a word."""

LOG_TAIL = 4000
"""Characters of a dead worker's last words that its cell's record keeps."""


@dataclass(frozen=True)
class _Parcel:
    """The cells of one batch on their way."""

    cells: Sequence[Cell]
    packed: Sequence[bytes]
    target: Path  # where the worker leaves their outcomes
    future: Any = None
    attempts: tuple[Failure, ...] = ()  # how earlier tries ended

    @property
    def fit_id(self) -> str:
        return self.cells[0].fit_id

    def apart(self) -> list[_Parcel]:
        """Return one parcel for each cell."""
        return [
            _Parcel([cell], [packed], self.target.with_name(f"{self.target.name}-{index}"))
            for index, (cell, packed) in enumerate(zip(self.cells, self.packed, strict=True))
        ]


@dataclass(frozen=True)
class _Place:
    """Where the worker stands, as far as it told."""

    pid: int = 0
    cell_id: str = ""
    phase: str = ""
    since: float | None = None  # when the fit began: warm-up and calibration are not the cell's

    def moved(self, pid: int, cell_id: str, phase: str) -> _Place:
        """Return where it stands now; every cell's first word is `begin`."""
        since = None if phase == "begin" else self.since
        if since is None and phase == "fit":
            since = time.monotonic()
        return _Place(pid, cell_id, phase, since)


class LocalExecutor:
    """Runs jobs in order; `on_progress(cell id, phase, index, of)` comes from another thread.

    Args:
        setup: What all cells share.
        on_progress: Is told where the running cell stands.
        timeout: Seconds that a cell may take, its fit included; then the worker is killed.
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
        self._folder = temporary_folder()
        self._log = Path(self._folder.name) / "worker.log"
        # Not a queue: its lock would stay locked where a worker is killed while it holds it.
        self._messages, self._other_end = context.Pipe(duplex=False)
        self._place = _Place()
        self._waiting: deque[_Parcel] = deque()
        self._sent: dict[str, _Parcel] = {}  # by the id of the first cell
        self._ends: dict[str, Exception] = {}  # of those that had to be ended, likewise
        self._gone = 0  # how often the worker was looked for and not found
        self._bad_fits: dict[str, str] = {}  # fit id -> what became of the cell that had it first
        self.finishing = False  # no further cell begins
        self._pool = ProcessPool(
            max_workers=1,
            initializer=worker.start,
            initargs=(setup, self._other_end, self._log),
            context=context,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self) -> None:
        """Start the worker; the first job need not wait for it then."""
        self._pool.schedule(worker.awake)

    def wait_for_worker(self) -> None:
        """Start it, and wait until it has imported what it needs.

        Raises:
            WorkerError: It cannot be started.
        """
        try:
            self._pool.schedule(worker.awake).result()
        except (ProcessExpired, BrokenProcessPool):
            raise self._stillborn() from None

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job, in order; those of a batch run together.

        Raises:
            WorkerError: No worker can be started.
        """
        folder = Path(self._folder.name)
        sender = Sender(folder)
        for number, jobs in enumerate(batches):
            if self.finishing:
                break
            packed = [sender.pack(job) for job in jobs]
            parcel = _Parcel([job.cell for job in jobs], packed, folder / f"outcomes-{number}")
            self._waiting.append(self._send(parcel))
            if len(self._waiting) == AHEAD:
                yield from self._next()
        while self._waiting:
            yield from self._next()

    def finish(self) -> None:
        """Let the running cell come to its end and begin no other; a signal handler may call it."""
        self.finishing = True
        self._veto("all").touch()

    @property
    def under_way(self) -> list[Cell]:
        """The cells that the worker is at."""
        parcel = self._sent.get(self._place.cell_id)
        return list(parcel.cells) if parcel else []

    def calibrations(self) -> list[Calibration]:
        """Have the machine's pace measured again, at the sizes that ran; nothing after a crash."""
        try:
            found: list[Calibration] = self._pool.schedule(worker.calibrate).result()
        except (ProcessExpired, BrokenProcessPool):
            return []
        return found

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

    def _send(self, parcel: _Parcel) -> _Parcel:
        future = self._pool.schedule(
            worker.execute,
            args=[parcel.packed, parcel.target, [self._veto("all"), self._veto(parcel.fit_id)]],
        )
        sent = replace(parcel, future=future)
        self._sent[sent.cells[0].id] = sent
        return sent

    def _next(self) -> Iterator[Outcome]:
        outcomes = self._received(self._waiting[0])
        try:
            yield from outcomes
        finally:
            self._waiting.popleft()

    def _veto(self, what: str) -> Path:
        """Return the file that keeps jobs from being begun: the pool's own way kills the worker."""
        return Path(self._folder.name) / f"veto-{what}"

    def _received(self, parcel: _Parcel) -> Iterator[Outcome]:
        try:
            path = self._result(parcel)
        except BrokenProcessPool:
            raise self._stillborn() from None
        except TimeoutError:
            message = f"It did not end within {self._timeout:g} s; --timeout sets how many."
            yield from self._lost(parcel, "timeout", Failure("Timeout", message))
        except ProcessExpired as error:
            words = self._last_words()
            yield from self._lost(parcel, "crashed", _crash(error.exitcode, words))
        else:
            if path is None and not self.finishing:
                yield from (self._untried(cell) for cell in parcel.cells)
            for outcome in take(path) if path else ():
                tried = (*parcel.attempts, *outcome.record.attempts)
                yield replace(outcome, record=replace(outcome.record, attempts=tried))

    def _result(self, parcel: _Parcel) -> Path | None:
        """Wait for a parcel, with an eye on whichever runs: after a crash it may be another one."""
        while wait([parcel.future], LOOK_SECONDS).not_done:
            running = self._sent.get(self._place.cell_id)
            if running is not None and (end := self._vanished(running) or self._overdue(running)):
                self._ends[running.cells[0].id] = end
                running.future.cancel()  # which kills the worker, if there is one
        del self._sent[parcel.cells[0].id]
        if parcel.future.cancelled():
            raise self._ends.pop(parcel.cells[0].id)
        path: Path | None = parcel.future.result()
        return path

    def _overdue(self, parcel: _Parcel) -> Exception | None:
        since = self._place.since
        if not self._timeout or since is None:
            return None
        late = time.monotonic() - since > self._timeout * len(parcel.cells)
        return TimeoutError() if late else None

    def _vanished(self, parcel: _Parcel) -> Exception | None:
        """Tell of a worker that ended itself with exit code 0, which the pool overlooks."""
        try:
            os.kill(self._place.pid, 0)
            self._gone = 0
        except ProcessLookupError:
            self._gone += 1  # the first time the pool may be about to say so itself
        if self._gone < 2 or parcel.future.done():
            return None
        return cast("Exception", ProcessExpired("vanished", 0))  # type: ignore[no-untyped-call]

    def _lost(self, parcel: _Parcel, status: Status, failure: Failure) -> Iterator[Outcome]:
        """Try again what may do better: cells of a batch each alone, a crash once more."""
        if len(parcel.cells) > 1:
            again = parcel.apart()
        elif status == "crashed" and not parcel.attempts and not self.finishing:
            again = [replace(parcel, attempts=(failure,))]
        else:
            (cell,) = parcel.cells
            if self._place == replace(self._place, cell_id=cell.id, phase="fit"):
                self._bad_fits[cell.fit_id] = f"{status} for {cell.name}"
                self._veto(cell.fit_id).touch()
            yield Outcome(Record(cell, status, failure=failure, attempts=parcel.attempts))
            return
        self._place = _Place()  # of a worker that is no more
        for one in [self._send(one) for one in again]:
            yield from self._received(one)

    def _untried(self, cell: Cell) -> Outcome:
        """Not each content shall wait for a fit that hangs, or bring a worker down."""
        why = self._bad_fits[cell.fit_id]
        failure = Failure("Untried", f"Its fit ended in {why}; it is not tried again in this run.")
        return Outcome(Record(cell, "failed", failure=failure))

    def _stillborn(self) -> WorkerError:
        return WorkerError(f"The worker process does not start:\n{self._last_words()}")

    def _last_words(self) -> str:
        """Take what a dead worker has left in its log."""
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        self._log.write_bytes(b"")
        return text[-LOG_TAIL:].strip()

    def _listen(self) -> None:
        while (message := self._messages.recv()) is not None:
            if isinstance(message, dict):
                self.environment = message
            else:
                pid, cell_id, phase, index, of = message
                self._place = self._place.moved(pid, cell_id, phase)
                self._on_progress(cell_id, phase, index, of)


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that goes when its owner does.

    Raises:
        StoreError: There is no place for one.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="nstbench-", ignore_cleanup_errors=True)
    except OSError as error:
        raise StoreError(
            f"There is no folder for temporary files: {error}. TMPDIR names another."
        ) from error


def _crash(code: int, words: str) -> Failure:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Failure("Crashed", f"The worker process died with {how}.", words)
