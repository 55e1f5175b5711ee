"""Cells in one supervised worker process on this machine.

A crash takes its own cell and no other: the pool starts a new worker for the next one. Timed cells
run alone; the parent stores and logs one result while the worker computes the next.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessPool

from harness.executors.parcels import Sender, take, unpack, write
from harness.jobs import Job, Outcome, Setup
from harness.records import Calibration, Cell, Failure, Record

if TYPE_CHECKING:
    from harness.runner import Runner

AHEAD = 3
"""Jobs handed out at a time: the one that runs, and two so that the worker never waits."""

PROGRESS_SECONDS = 0.2
"""The worker tells no more often how far it is, over all of its cells."""

_runner: Runner | None = None
_cell_id = ""


@dataclass(frozen=True)
class _Parcel:
    """The cells of one batch on their way."""

    cells: Sequence[Cell]
    packed: Sequence[bytes]
    target: Path  # where the worker leaves their outcomes
    future: Any = None

    def apart(self) -> list[_Parcel]:
        """Return one parcel for each cell."""
        return [
            _Parcel([cell], [packed], self.target.with_name(f"{self.target.name}-{index}"))
            for index, (cell, packed) in enumerate(zip(self.cells, self.packed, strict=True))
        ]


class LocalExecutor:
    """Runs jobs in order; `on_progress(cell id, phase, index, of)` comes from another thread."""

    def __init__(self, setup: Setup, on_progress: Callable[[str, str, int, int], None]) -> None:
        context = multiprocessing.get_context("spawn")  # fork would share torch's threads
        self.environment: Mapping[str, str] = setup.environment
        """Of the worker, as soon as it has started."""
        self._messages: Any = context.SimpleQueue()
        self._on_progress = on_progress
        self._folder = tempfile.TemporaryDirectory(prefix="nstbench-", ignore_cleanup_errors=True)
        self._pool = ProcessPool(
            max_workers=1, initializer=_start, initargs=(setup, self._messages), context=context
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self) -> None:
        """Start the worker; the first job need not wait for it then."""
        self._pool.schedule(_awake)

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job, in order; those of a batch run together."""
        waiting: deque[_Parcel] = deque()
        folder = Path(self._folder.name)
        sender = Sender(folder)
        for number, jobs in enumerate(batches):
            packed = [sender.pack(job) for job in jobs]
            parcel = _Parcel([job.cell for job in jobs], packed, folder / f"outcomes-{number}")
            waiting.append(self._send(parcel))
            if len(waiting) == AHEAD:
                yield from self._received(waiting.popleft())
        while waiting:
            yield from self._received(waiting.popleft())

    def calibrations(self) -> list[Calibration]:
        """Have the machine's pace measured again, at the sizes that ran; nothing after a crash."""
        try:
            found: list[Calibration] = self._pool.schedule(_calibrate).result()
        except ProcessExpired:
            return []
        return found

    def _send(self, parcel: _Parcel) -> _Parcel:
        future = self._pool.schedule(_execute, args=[parcel.packed, parcel.target])
        return replace(parcel, future=future)

    def _received(self, parcel: _Parcel) -> Iterator[Outcome]:
        try:
            yield from take(parcel.future.result())
        except ProcessExpired as error:
            if len(parcel.cells) == 1:
                yield _crashed(parcel.cells[0], error.exitcode)
            else:  # a crash takes its own cell and no other
                for one in [self._send(single) for single in parcel.apart()]:
                    yield from self._received(one)

    def close(self, *, now: bool = False) -> None:
        """End the worker: after its last job, or at once."""
        if now:
            self._pool.stop()  # type: ignore[no-untyped-call]
        else:
            self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._messages.put(None)
        self._listener.join(timeout=5)
        self._folder.cleanup()

    def _listen(self) -> None:
        while (message := self._messages.get()) is not None:
            if isinstance(message, dict):
                self.environment = message
            else:
                self._on_progress(*message)


def _crashed(cell: Cell, code: int) -> Outcome:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    failure = Failure("Crashed", f"The worker process died with {how}.")
    return Outcome(Record(cell, "crashed", failure=failure))


def _start(setup: Setup, messages: Any) -> None:
    """Begin a worker: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    global _runner
    from harness import environment
    from harness.runner import Runner

    surroundings = {**setup.environment, **environment.of_torch(setup.device)}
    messages.put(surroundings)
    _runner = Runner(replace(setup, environment=surroundings), _Progress(messages))


class _Progress:
    """Tells the parent where the running cell stands, a few times a second."""

    def __init__(self, messages: Any) -> None:
        self._messages, self._told = messages, 0.0

    def __call__(self, phase: str, index: int, of: int) -> None:
        now = time.monotonic()
        if now - self._told > PROGRESS_SECONDS:
            self._told = now
            self._messages.put((_cell_id, phase, index, of))


def _execute(packed: Sequence[bytes], target: Path) -> Path:
    global _cell_id
    assert _runner is not None
    jobs = [unpack(one) for one in packed]
    _cell_id = jobs[0].cell.id
    return write(_runner.execute_together(jobs), target)


def _awake() -> None:
    """Do nothing: by now the worker has imported what it needs."""


def _calibrate() -> list[Calibration]:
    assert _runner is not None
    return _runner.calibrations()
