"""Cells in one supervised worker process on this machine.

A crash takes its own cell and no other: the pool starts a new worker for the next one. Timed cells
run alone; the parent stores and logs one result while the worker computes the next.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessPool

from harness.jobs import Job, Outcome, Setup
from harness.records import Failure, Record

if TYPE_CHECKING:
    from harness.runner import Runner

AHEAD = 2
"""Jobs handed out at a time: the one that runs, and one so that the worker never waits."""

_runner: Runner | None = None
_cell_id = ""


class LocalExecutor:
    """Runs jobs in order; `on_progress(cell id, phase, index, of)` comes from another thread."""

    def __init__(self, setup: Setup, on_progress: Callable[[str, str, int, int], None]) -> None:
        context = multiprocessing.get_context("spawn")  # fork would share torch's threads
        self._messages: Any = context.Queue()
        self._on_progress = on_progress
        self._pool = ProcessPool(
            max_workers=1, initializer=_start, initargs=(setup, self._messages), context=context
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Yield the outcome of every job, in order."""
        waiting: deque[tuple[Job, Any]] = deque()
        for job in jobs:
            waiting.append((job, self._pool.schedule(_execute, args=[job])))
            if len(waiting) == AHEAD:
                yield _outcome(*waiting.popleft())
        while waiting:
            yield _outcome(*waiting.popleft())

    def close(self, *, now: bool = False) -> None:
        """End the worker: after its last job, or at once."""
        if now:
            self._pool.stop()  # type: ignore[no-untyped-call]
        else:
            self._pool.close()  # type: ignore[no-untyped-call]
        self._pool.join()
        self._messages.put(None)
        self._listener.join(timeout=5)

    def _listen(self) -> None:
        while (message := self._messages.get()) is not None:
            self._on_progress(*message)


def _outcome(job: Job, future: Any) -> Outcome:
    try:
        outcome: Outcome = future.result()
    except ProcessExpired as error:
        code = error.exitcode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        failure = Failure("Crashed", f"The worker process died with {how}.")
        return Outcome(Record(job.cell, "crashed", failure=failure))
    return outcome


def _start(setup: Setup, messages: Any) -> None:
    """Begin a worker: Ctrl-C is the parent's to answer; the runner is made at the first job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    global _runner
    from harness.runner import Runner

    _runner = Runner(setup, lambda *progress: messages.put((_cell_id, *progress)))


def _execute(job: Job) -> Outcome:
    global _cell_id
    assert _runner is not None
    _cell_id = job.cell.id
    return _runner.execute(job)
