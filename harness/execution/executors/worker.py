"""The worker process: it runs cells, reports their progress and ends with its parent.

The output of methods goes to a log file, because the terminal shows a progress display. After a
crash, the end of the log shows the cause.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from harness.execution.executors.ipc import unpack, write
from harness.execution.jobs import Outcome, Setup
from harness.execution.machine import memory_limit
from harness.records import Calibration

if TYPE_CHECKING:
    from harness.execution.runner import Runner

PROGRESS_SECONDS = 0.2
"""Shortest interval between two progress messages of one phase."""

MAX_QUOTE_LENGTH = 200
"""Characters of a method's output that its record quotes."""

_runner: Runner | None = None
_progress: _Progress | None = None


def start(setup: Setup, messages: Connection, log: Path) -> None:
    """Initialize the worker process and send its environment to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    _end_with_parent()
    _redirect_output(log)
    global _runner, _progress
    from harness.execution.machine import determinism, environment
    from harness.execution.runner import Runner

    if setup.deterministic:
        determinism.insist()
    described = {**setup.environment, **environment.of_torch(setup.device)}
    messages.send(described)
    _progress = _Progress(messages)
    _runner = Runner(replace(setup, environment=described), _progress)
    if setup.device == "cpu":
        memory_limit.limit_to_what_is_free()


def execute(packed: Sequence[bytes], target: Path, stops: Sequence[Path]) -> Path | None:
    """Run the jobs of a batch and write their outcomes to `target`.

    Args:
        packed: The jobs, from a Sender.
        target: File for the outcomes.
        stops: The batch does not run if one of these files exists.

    Returns:
        `target`, or None if the batch did not run.
    """
    if any(path.exists() for path in stops):
        return None
    assert _runner is not None
    assert _progress is not None
    jobs = [unpack(one) for one in packed]
    _progress.begin(jobs[0].cell.id)
    check = SideEffectCheck()
    outcomes = _runner.execute_together(jobs)
    return write([_with_notes(outcome, check.notes()) for outcome in outcomes], target)


def ping() -> None:
    """Do nothing. The call returns when the worker has imported its modules."""


def calibrate() -> list[Calibration]:
    """Measure the machine's speed again."""
    assert _runner is not None
    return _runner.calibrations()


class _Progress:
    """Sends the start of each cell and, a few times a second, its progress to the parent."""

    def __init__(self, messages: Connection) -> None:
        self._messages, self._sent = messages, 0.0
        self._cell_id, self._phase = "", ""

    def begin(self, cell_id: str) -> None:
        """Report the start of a cell."""
        self._cell_id = cell_id
        self("begin", 0, 1)

    def __call__(self, phase: str, index: int, of: int) -> None:
        now = time.monotonic()
        if phase != self._phase or now - self._sent > PROGRESS_SECONDS:
            self._sent, self._phase = now, phase
            # Short enough for one atomic write: a worker may be killed at any time.
            self._messages.send((os.getpid(), self._cell_id, phase, index, of))


class SideEffectCheck:
    """Detects output and threads that a method should not leave behind."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._log_size = os.fstat(1).st_size

    def notes(self) -> list[str]:
        """Return a note on the output and one on the threads that still run, if any."""
        sys.stdout.flush()
        notes = []
        if text := _read_log(self._log_size):
            notes.append(f"printed: {text}")
        left = {one.name: None for one in threading.enumerate() if one not in self._threads}
        if left:
            notes.append(f"left threads running: {', '.join(left)}")
        return notes


def _read_log(position: int) -> str:
    """Return the output from a position on, cut to MAX_QUOTE_LENGTH."""
    text = os.pread(1, MAX_QUOTE_LENGTH + 1, position).decode(errors="replace").strip()
    return text if len(text) <= MAX_QUOTE_LENGTH else f"{text[:MAX_QUOTE_LENGTH]}…"


def _with_notes(outcome: Outcome, notes: Sequence[str]) -> Outcome:
    record = outcome.record
    return replace(outcome, record=replace(record, notes=(*record.notes, *notes)))


def _redirect_output(log: Path) -> None:
    """Send both standard streams to a file, and the traceback of a segmentation fault too."""
    file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    faulthandler.enable()


def _end_with_parent() -> None:
    """End this process as soon as its parent ends, even after SIGKILL."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watches the parent", daemon=True).start()
