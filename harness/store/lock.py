"""One run at a time in a suite's folder: whoever comes second waits, then finds the work done.

Two runs that shared the work would disturb each other's clocks. The lock is the system's own: it is
free again when its holder dies, however that happens.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harness import filesystem
from harness.store.store import ELSEWHERE

POLL_SECONDS = 0.3


@contextmanager
def turn(folder: Path, on_wait: Callable[[str], None]) -> Iterator[bool]:
    """Hold the folder for a block; yields whether somebody else had it first.

    Args:
        folder: Of a suite's results.
        on_wait: Is told once who has it.
    """
    lock, holder = FileLock(folder / ".lock"), folder / ".holder"
    waited = False
    try:
        with filesystem.writing(folder, ELSEWHERE):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
    except Timeout:
        waited = True
        on_wait(_read(holder))
        lock.acquire(poll_interval=POLL_SECONDS)
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield waited
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text(encoding="utf-8") or "another process"
    except FileNotFoundError:  # it has the lock, and is about to say so
        return "another process"
