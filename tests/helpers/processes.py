"""Find processes by a variable of their environment, which their children inherit."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil


def alive(mark: str) -> list[psutil.Process]:
    """Return the running processes whose variable MARK has this value."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def no_longer_alive(mark: str, seconds: float = 10) -> bool:
    """Wait until there are no such processes; return False if they outlive the deadline."""
    deadline = time.monotonic() + seconds
    while alive(mark):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def wait_for_file(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a process, or one that it started, has written a file."""
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)
