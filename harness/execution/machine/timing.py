"""Clocks, peak memory and traces. Timed is the work of the device, not the queueing of kernels."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from harness.protocols import Step
from harness.records import TracePoint

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")

PROGRESS_SECONDS = 0.2
"""Least time between two progress reports of a phase."""

MAX_WARM_UPS, WARM_UP_SECONDS, WARM_UP_TOLERANCE = 8, 3.0, 0.1
"""A warm-up ends when two consecutive calls differ by a tenth, or at one of these limits."""

REPEAT_SECONDS = 1.0
"""Quick work is repeated until this time has passed."""


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass
class OwnMeasurement:
    """What a method measured itself, because another process did the work."""

    seconds: float | None = None
    peak_mb: float | None = None

    def __call__(self, seconds: float, peak_mb: float | None = None) -> None:
        """Take a measurement; the highest peak counts."""
        self.seconds = seconds
        if peak_mb is not None:
            self.peak_mb = max(peak_mb, self.peak_mb or 0.0)


class Stopwatch:
    """Measures the seconds of a block; synchronises the device at both ends.

    A measurement that the method takes itself during the block replaces the clock's.
    """

    def __init__(self, device: torch.device, own: OwnMeasurement | None = None) -> None:
        self.device, self.seconds, self._own = device, 0.0, own

    def __enter__(self) -> Stopwatch:
        if self._own:
            self._own.seconds = None
        synchronise(self.device)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        synchronise(self.device)
        self.seconds = time.perf_counter() - self._start
        if self._own and self._own.seconds is not None:
            self.seconds = self._own.seconds


def until_steady(work: Callable[[], object], device: torch.device) -> None:
    """Call `work` until two consecutive calls take the same time.

    It is called at least twice, at most MAX_WARM_UPS times, and not again after WARM_UP_SECONDS.
    """
    start = time.perf_counter()
    last: float | None = None
    for _ in range(MAX_WARM_UPS):
        with Stopwatch(device) as watch:
            work()
        if last is not None:
            steady = abs(watch.seconds - last) <= WARM_UP_TOLERANCE * last
            if steady or time.perf_counter() - start > WARM_UP_SECONDS:
                return
        last = watch.seconds


def time_repeats(
    work: Callable[[], object], device: torch.device, most: int, own: OwnMeasurement | None = None
) -> list[float]:
    """Time calls of `work` until REPEAT_SECONDS have passed, at most `most` calls."""
    seconds: list[float] = []
    while len(seconds) < most and sum(seconds) < REPEAT_SECONDS:
        with Stopwatch(device, own) as watch:
            work()
        seconds.append(watch.seconds)
    return seconds


class Trace:
    """Records the steps of a fit or stylization; losses stay on the device until they are read."""

    def __init__(
        self,
        phase: Literal["fit", "stylize"],
        device: torch.device,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self.phase, self.device, self.progress = phase, device, progress
        self.steps: list[Step] = []
        self._images: dict[int, torch.Tensor] = {}  # uint8 (1, 3, H, W) on the device, by step
        self._marks: list[float] = []
        self._events: list[torch.cuda.Event] = []
        self._shown = 0.0
        self._points: list[TracePoint] = []  # of earlier processes, and those read so far
        self._read, self._earlier_seconds = 0, 0.0
        self._start = time.perf_counter()
        self._mark()  # the start of the first step

    def resume(self, earlier: Sequence[TracePoint], seconds: float) -> None:
        """Continue after the steps of earlier processes, which took `seconds`."""
        self._points, self._earlier_seconds = list(earlier), seconds

    def on_step(self, step: Step) -> None:
        """Record a step, keep its image if it is a snapshot, and report progress."""
        if step.image is not None:
            if self.phase == "stylize" and is_snapshot(step.index, step.of):
                self._images[step.index] = _to_uint8(step.image)
            step = replace(step, image=None)
        self.steps.append(step)
        self._mark()
        if self._marks[-1] - self._shown > PROGRESS_SECONDS:
            self._shown = self._marks[-1]
            self.progress(self.phase, step.index, step.of)

    def _mark(self) -> None:
        self._marks.append(time.perf_counter())
        if self.device.type == "cuda":  # the host runs ahead, so the device records the time
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append(event)

    def _seconds(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if self._events:
            synchronise(self.device)
            first = self._events[0]
            return np.array([first.elapsed_time(event) / 1000 for event in self._events])
        return np.array(self._marks) - self._start

    def points(self) -> list[TracePoint]:
        """Return the loss curve; this call reads the losses off the device."""
        seconds = self._earlier_seconds + self._seconds()[1:]
        self._points += [
            TracePoint(self.phase, step.index, float(at), _losses(step))
            for step, at in zip(self.steps[self._read :], seconds[self._read :], strict=True)
        ]
        self._read = len(self.steps)
        return list(self._points)

    def snapshots(self) -> dict[int, np.ndarray[Any, np.dtype[np.uint8]]]:
        """Return the snapshots, uint8 (H, W, 3), by step."""
        return {
            index: image[0].permute(1, 2, 0).cpu().numpy() for index, image in self._images.items()
        }

    def pass_ms(self) -> tuple[float, float, float] | None:
        """Return the quartiles of milliseconds per step, or None without steps.

        The first tenth of ten or more steps is left out: caches fill and code compiles.
        """
        seconds = [0.0, *(point.seconds for point in self.points())]
        if len(seconds) == 1:
            return None
        gaps = (np.diff(seconds) * 1000).tolist()
        gaps = gaps[len(gaps) // 10 :]
        if len(gaps) == 1:
            return gaps[0], gaps[0], gaps[0]
        low, middle, high = statistics.quantiles(gaps, n=4, method="inclusive")
        return low, middle, high


def is_snapshot(index: int, of: int) -> bool:
    """Return True for passes 1, 2, 5, 10, 20, 50 ... but the last, which is the result itself."""
    return index < of and str(index).rstrip("0") in ("1", "2", "5")


def _to_uint8(image: torch.Tensor) -> torch.Tensor:
    """Return a copy of an image as it would be saved, without waiting for the device."""
    return image.detach().clamp(0, 1).mul_(255).round_().to(torch.uint8)


def _losses(step: Step) -> dict[str, float]:
    return {name: float(loss) for name, loss in step.losses.items()}


class PeakMemory:
    """Peak megabytes since `reset`: of tensors on the GPU, or of the process on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.of = "gpu" if device.type == "cuda" else "process"

    def reset(self) -> None:
        """Start a new measurement. Only Linux can reset the peak of a process."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif sys.platform == "linux":
            try:
                CLEAR_REFS.write_text("5")  # resets VmHWM
            except OSError:
                self.of = "process since its start"

    def read(self) -> float:
        """Return the peak in megabytes (10^6 bytes)."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e6
        if sys.platform == "linux":  # psutil does not read VmHWM
            for line in STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e6
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def load_average() -> float | None:
    """Return the load average of the last minute, or None on systems without one."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
