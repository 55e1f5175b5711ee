"""The worker process: runs cells, reports progress, and ends together with its parent.

What a method prints goes to a log file that the parent reads after a crash, not to the terminal,
where the parent shows its display.
"""

from __future__ import annotations

import faulthandler
import io
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
from harness.execution.jobs import Outcome
from harness.execution.machine import memory_limit
from harness.plan import Resources
from harness.records import Calibration

if TYPE_CHECKING:
    from harness.execution.runner import Runner

PROGRESS_SECONDS = 0.2
"""Least time between two progress messages of a phase."""

MAX_QUOTE_LENGTH = 200
"""Characters of a method's output that its record quotes."""

_runner: Runner | None = None
_progress: _Progress | None = None


def start(resources: Resources, messages: Connection, log: Path) -> None:
    """Initialise the worker process. It ignores Ctrl-C, which the parent handles."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
    _progress = _Progress(messages)
    _runner = Runner(replace(resources, environment=facts), _progress)
    if resources.device == "cpu":
        memory_limit.limit_to_free_memory()


def execute(packed: Sequence[bytes], target: Path, vetoes: Sequence[Path]) -> Path | None:
    """Run the jobs of a batch and write their outcomes to `target`; return None if vetoed."""
    if any(path.exists() for path in vetoes):
        return None
    assert _runner is not None
    assert _progress is not None
    jobs = [unpack(one) for one in packed]
    _progress.start_cell(jobs[0].cell.id)
    side_effects = SideEffectCheck()
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
    """Sends the parent each new phase, and the progress of a phase a few times per second."""

    def __init__(self, messages: Connection) -> None:
        self._messages, self._sent_at = messages, 0.0
        self._cell_id, self._phase = "", ""

    def start_cell(self, cell_id: str) -> None:
        """Report the start of another cell."""
        self._cell_id = cell_id
        self("begin", 0, 1)

    def __call__(self, phase: str, index: int, of: int) -> None:
        now = time.monotonic()
        if phase != self._phase or now - self._sent_at > PROGRESS_SECONDS:
            self._sent_at, self._phase = now, phase
            # A message is short enough for an atomic write: the worker may be killed at any time.
            self._messages.send((os.getpid(), self._cell_id, phase, index, of))


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
