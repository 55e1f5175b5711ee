"""Who else was at work while something was timed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from harness.execution.machine import procfs

PROC_STAT = Path("/proc/stat")

TOLERATED_CORES = 0.15
"""What the rest of a machine may do at a time without a word: the display, storing a result."""

MIN_SECONDS = 0.5

TOLERATED_SPREAD = 0.2
"""Half of all passes may differ by so much, over their median."""


class BackgroundLoad:
    """Counts the work of all other processes on the machine, from `begin` on.

    Args:
        threads: How many cores the timed work itself needs.
    """

    def __init__(self, threads: int) -> None:
        self.cores = os.cpu_count() or 1
        self.threads = min(threads, self.cores)
        self.begin()

    def begin(self) -> None:
        """Start to count."""
        self._then = (time.perf_counter(), _busy_seconds(), time.process_time())

    def busy_cores(self) -> float | None:
        """Return how many cores others kept busy; None where the system does not tell.

        It counts in hundredths of a second, on every core: of what is over at once it says nothing.
        """
        wall, busy, own = self._then
        elapsed = time.perf_counter() - wall
        if busy is None or elapsed < MIN_SECONDS or (now := _busy_seconds()) is None:
            return None
        return max(0.0, (now - busy - (time.process_time() - own)) / elapsed)

    def complaint(self, busy: float | None) -> str:
        """Say that they were in the way; empty where cores enough were left."""
        if busy is None or busy + self.threads <= self.cores + TOLERATED_CORES:
            return ""
        return f"other processes kept {busy:.1f} of {self.cores} cores busy"


def unsteady(quartiles: tuple[float, float, float] | None) -> str:
    """Say that passes did not take the same time; empty where they did, or nothing is known."""
    if quartiles is None:
        return ""
    low, median, high = quartiles
    spread = (high - low) / median if median > 0 else 0.0
    return f"half of the passes differ by {spread:.0%}" if spread > TOLERATED_SPREAD else ""


def _busy_seconds() -> float | None:
    """Return the seconds that all cores together have worked, stolen ones included."""
    try:
        fields = procfs.begin_of(PROC_STAT).split("\n", 1)[0].split()
    except OSError:
        return None
    ticks = [int(number) for number in fields[1:9]]  # guests are within the first two
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = ticks
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
