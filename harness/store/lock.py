"""The lock of a suite's folder: one run at a time, since two would disturb each other's timings.

The operating system releases the lock when its process ends, even by a crash.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harness import filesystem
from harness.store.folder import OUT_HINT

POLL_SECONDS = 0.3


@contextmanager
def lock_suite(folder: Path, on_wait: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock of a suite for a block; yield whether it had to wait for another process.

    Args:
        folder: The folder of the suite's results; created if it does not exist.
        on_wait: Called once with a description of the process that has the lock.

    Raises:
        StoreError: The folder cannot be written.
    """
    lock, holder = FileLock(folder / ".lock"), folder / ".holder"
    waited = False
    try:
        with filesystem.writing(folder, OUT_HINT):
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
    except Timeout:
        waited = True
        on_wait(_read_holder(holder))
        lock.acquire(poll_interval=POLL_SECONDS)
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield waited
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read_holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") or "another process"
    except FileNotFoundError:  # between taking the lock and writing the file
        return "another process"
