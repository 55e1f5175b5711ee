"""The worker process: runs cells, reports progress, and ends together with its parent.

What a method prints goes to a log file that the parent reads after a crash, not to the terminal,
where the parent shows its display.
"""

from __future__ import annotations

import faulthandler
import io
import multiprocessing.util
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from harness.execution.executors.ipc import unpack, write
from harness.execution.jobs import Job, Outcome
from harness.execution.machine import memory_limit
from harness.plan import Resources
from harness.records import Calibration

if TYPE_CHECKING:
    from harness.execution.runner import Runner

MAX_QUOTE_LENGTH = 200
"""Characters of a method's output that its record quotes."""

_runner: Runner | None = None
_progress: _Progress | None = None


def start(
    resources: Resources, messages: Connection, log: Path, timeout: float | None = None
) -> None:
    """Initialise the worker process. It ignores Ctrl-C, which the parent handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # of the timeout; a parent may ignore it
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    _end_with_parent()
    _redirect_output(log)
    global _runner, _progress
    from harness.execution.machine import determinism, environment
    from harness.execution.runner import Runner

    if resources.deterministic:
        determinism.enable()
    facts = {**resources.environment, **environment.of_torch(resources.device)}
    messages.send(facts)
    _progress = _Progress(messages, timeout or 0.0)
    _runner = Runner(replace(resources, environment=facts), _progress)
    multiprocessing.util.Finalize(None, _runner.close, exitpriority=10)
    tempfile.tempdir = str(log.parent)  # the parent deletes it, also if this process is killed
    if resources.device == "cpu":
        memory_limit.limit_to_free_memory()


def execute(packed: Sequence[bytes], target: Path, vetoes: Sequence[Path]) -> Path | None:
    """Run the jobs of a batch and write their outcomes to `target`; return None if vetoed."""
    if any(path.exists() for path in vetoes):
        return None
    assert _runner is not None
    assert _progress is not None
    jobs = [unpack(one) for one in packed]
    side_effects = SideEffectCheck()
    with _progress.of_batch(jobs):
        if len(jobs) == 1:
            outcomes = [_runner.execute(jobs[0])]
        else:
            from harness.execution.batch_runner import execute_batch

            outcomes = execute_batch(_runner, jobs)
        return write([_add_notes(outcome, side_effects.notes()) for outcome in outcomes], target)


def do_nothing() -> None:
    """Return once the worker has imported what it needs."""


def calibrate() -> list[Calibration]:
    """Measure the machine's pace again."""
    assert _runner is not None
    return _runner.timer.calibrations()


class _Progress:
    """Sends the parent the phase of the running batch and the progress of the phase.

    The timeout starts with the first fit of a batch: it excludes warm-up and calibration. At its
    end SIGALRM ends the process, even where a method holds Python's lock.
    """

    def __init__(self, messages: Connection, timeout: float) -> None:
        self._messages, self._timeout, self._cell_id = messages, timeout, ""
        self._limit = 0.0  # of the batch, seconds; 0 once the time runs

    @contextmanager
    def of_batch(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Report the start of a batch; limit its time."""
        self._cell_id, self._limit = jobs[0].cell.id, self._timeout * len(jobs)
        self("begin", 0, 1)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def __call__(self, phase: str, index: int, of: int) -> None:
        if phase == "fit" and self._limit:
            signal.setitimer(signal.ITIMER_REAL, self._limit)
            self._limit = 0.0
        # A message is short enough for an atomic write: the worker may be killed at any time.
        self._messages.send((self._cell_id, phase, index, of))


class SideEffectCheck:
    """Detects output and threads that a method leaves behind."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._printed = os.fstat(1).st_size

    def notes(self) -> list[str]:
        """Return notes on what was printed and which threads still run."""
        sys.stdout.flush()
        notes = []
        if text := _read_output(self._printed):
            notes.append(f"printed: {text}")
        left = {one.name: None for one in threading.enumerate() if one not in self._threads}
        if left:
            notes.append(f"left threads running: {', '.join(left)}")
        return notes


def _read_output(position: int) -> str:
    """Return what was printed since a position of the log, cut after MAX_QUOTE_LENGTH."""
    text = os.pread(1, MAX_QUOTE_LENGTH + 1, position).decode(errors="replace").strip()
    return text if len(text) <= MAX_QUOTE_LENGTH else f"{text[:MAX_QUOTE_LENGTH]}…"


def _add_notes(outcome: Outcome, notes: Sequence[str]) -> Outcome:
    record = outcome.record
    return replace(outcome, record=replace(record, notes=(*record.notes, *notes)))


def _redirect_output(log: Path) -> None:
    """Send both standard streams, and the traceback of a segmentation fault, to a file."""
    file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a method prints must not fail its cell
            stream.reconfigure(encoding="utf-8", errors="replace")
    faulthandler.enable()


def _end_with_parent() -> None:
    """Exit at once when the parent ends, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watches the parent", daemon=True).start()
