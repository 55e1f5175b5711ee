"""Find processes by a variable of their environment, which their children inherit."""

from __future__ import annotations

import time

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
