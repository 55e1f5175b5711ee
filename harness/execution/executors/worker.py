"""The worker's side: it runs cells, tells where it stands, and never outlives its parent.

What a method prints goes to a log that the parent keeps: a terminal has a display to show, and the
log's end tells where a crash came from.
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
"""The parent is told no more often how far a phase is."""

MAX_QUOTE_LENGTH = 200
"""Characters of what a method printed that its record quotes."""

_runner: Runner | None = None
_progress: _Progress | None = None


def start(setup: Setup, messages: Connection, log: Path) -> None:
    """Begin a worker: Ctrl-C is the parent's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    _end_with_parent()
    _write_to(log)
    global _runner, _progress
    from harness.execution.machine import determinism, environment
    from harness.execution.runner import Runner

    if setup.deterministic:
        determinism.insist()
    surroundings = {**setup.environment, **environment.of_torch(setup.device)}
    messages.send(surroundings)
    _progress = _Progress(messages)
    _runner = Runner(replace(setup, environment=surroundings), _progress)
    if setup.device == "cpu":
        memory_limit.limit_to_what_is_free()


def execute(packed: Sequence[bytes], target: Path, vetoes: Sequence[Path]) -> Path | None:
    """Run the jobs of a parcel; return where their outcomes are, or None where there is a veto."""
    if any(path.exists() for path in vetoes):
        return None
    assert _runner is not None
    assert _progress is not None
    jobs = [unpack(one) for one in packed]
    _progress.begin(jobs[0].cell.id)
    manners = SideEffectCheck()
    outcomes = _runner.execute_together(jobs)
    return write([_noted(outcome, manners.complaints()) for outcome in outcomes], target)


def awake() -> None:
    """Do nothing: by now the worker has imported what it needs."""


def calibrate() -> list[Calibration]:
    """Measure the machine's pace again."""
    assert _runner is not None
    return _runner.calibrations()


class _Progress:
    """Tells the parent what begins, and a few times a second how far it is."""

    def __init__(self, messages: Connection) -> None:
        self._messages, self._told = messages, 0.0
        self._cell_id, self._phase = "", ""

    def begin(self, cell_id: str) -> None:
        """Turn to another cell."""
        self._cell_id = cell_id
        self("begin", 0, 1)

    def __call__(self, phase: str, index: int, of: int) -> None:
        now = time.monotonic()
        if phase != self._phase or now - self._told > PROGRESS_SECONDS:
            self._told, self._phase = now, phase
            # Short enough to be written in one piece: a worker may be killed at any time.
            self._messages.send((os.getpid(), self._cell_id, phase, index, of))


class SideEffectCheck:
    """What a method should not do, seen by what there is more of afterwards."""

    def __init__(self) -> None:
        self._threads = set(threading.enumerate())
        self._printed = os.fstat(1).st_size

    def complaints(self) -> list[str]:
        """Say what was printed and which threads were left running."""
        sys.stdout.flush()
        found = []
        if text := _log_from(self._printed):
            found.append(f"printed: {text}")
        left = {one.name: None for one in threading.enumerate() if one not in self._threads}
        if left:
            found.append(f"left threads running: {', '.join(left)}")
        return found


def _log_from(position: int) -> str:
    """Return what was printed since then, or its beginning."""
    text = os.pread(1, MAX_QUOTE_LENGTH + 1, position).decode(errors="replace").strip()
    return text if len(text) <= MAX_QUOTE_LENGTH else f"{text[:MAX_QUOTE_LENGTH]}…"


def _noted(outcome: Outcome, notes: Sequence[str]) -> Outcome:
    record = outcome.record
    return replace(outcome, record=replace(record, notes=(*record.notes, *notes)))


def _write_to(log: Path) -> None:
    """Send both standard streams to a file; a segmentation fault writes its traceback there too."""
    file = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
    faulthandler.enable()


def _end_with_parent() -> None:
    """End at once when the parent does, however it ended: nobody would read the outcome."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="watches the parent", daemon=True).start()
