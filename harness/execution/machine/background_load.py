"""Detect other processes that compete with timed work for processor cores."""

from __future__ import annotations

import os
import time

import psutil

TOLERATED_CORES = 0.15
"""Load of the rest of the machine that is not reported: a display, the storing of a result."""

MIN_SECONDS = 0.5
"""Shorter intervals are not judged: the system counts in hundredths of a second on every core."""

TOLERATED_SPREAD = 0.2
"""Interquartile range of the times of passes, over their median, that is not reported."""


class BackgroundLoad:
    """Measures the processor time of all other processes since the last `restart`.

    Args:
        threads: Number of cores that the timed work itself uses.
    """

    def __init__(self, threads: int) -> None:
        self.cores = os.cpu_count() or 1
        self.threads = min(threads, self.cores)
        self.restart()

    def restart(self) -> None:
        """Start a new measurement."""
        self._start = (time.perf_counter(), _busy_seconds(), time.process_time())

    def busy_cores(self) -> float | None:
        """Return how many cores other processes kept busy, or None if that is not known."""
        wall, busy, own = self._start
        elapsed = time.perf_counter() - wall
        if busy is None or elapsed < MIN_SECONDS or (now := _busy_seconds()) is None:
            return None
        return max(0.0, (now - busy - (time.process_time() - own)) / elapsed)

    def warning(self, busy: float | None) -> str:
        """Return a warning if fewer cores were idle than the timed work uses, else ""."""
        if busy is None or busy + self.threads <= self.cores + TOLERATED_CORES:
            return ""
        return f"other processes kept {busy:.1f} of {self.cores} cores busy"


def spread_warning(quartiles: tuple[float, float, float] | None) -> str:
    """Return a warning if the times of passes vary by more than TOLERATED_SPREAD, else ""."""
    if quartiles is None:
        return ""
    low, median, high = quartiles
    spread = (high - low) / median if median > 0 else 0.0
    return f"half of the passes differ by {spread:.0%}" if spread > TOLERATED_SPREAD else ""


def _busy_seconds() -> float | None:
    """Return the seconds that all cores together were busy, or None if the system hides them."""
    try:
        times = psutil.cpu_times()
    except OSError:
        return None
    # Time of guests is part of `user` and `nice`; stolen time counts as busy.
    idle = ("idle", "iowait", "guest", "guest_nice")
    return sum(times) - sum(getattr(times, name, 0.0) for name in idle)
