"""Clocks, memory and traces. What is timed is the device's work, not the queueing of it."""

from __future__ import annotations

import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from harness.execution import snapshots
from harness.execution.machine import procfs
from harness.protocols import Step
from harness.records import TracePoint

CLEAR_REFS, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")

PROGRESS_SECONDS = 0.2
MAX_WARM_UPS, WARM_UP_SECONDS, STEADY = 8, 3.0, 0.1
"""A warm-up ends when two runs differ by a tenth, or after so many or so long."""


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Stopwatch:
    """Seconds of a block, the device synchronised at both ends."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, 0.0

    def __enter__(self) -> Stopwatch:
        synchronise(self.device)
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        synchronise(self.device)
        self.seconds = time.perf_counter() - self._start


def until_steady(work: Callable[[], object], device: torch.device) -> None:
    """Do the work until it takes what it took the last time.

    At least twice, at most MAX_WARM_UPS times, and not again after WARM_UP_SECONDS.
    """
    begin = time.perf_counter()
    last: float | None = None
    for _ in range(MAX_WARM_UPS):
        with Stopwatch(device) as watch:
            work()
        if last is not None:
            steady = abs(watch.seconds - last) <= STEADY * last
            if steady or time.perf_counter() - begin > WARM_UP_SECONDS:
                return
        last = watch.seconds


class Trace:
    """Takes a method's steps without making the device wait: losses are read at the end."""

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
        self._points: list[TracePoint] = []  # of earlier processes, and those read by now
        self._read, self._before = 0, 0.0
        self._start = time.perf_counter()
        self._mark()  # where the first step begins

    def resume(self, earlier: Sequence[TracePoint], seconds: float) -> None:
        """Go on after the steps of earlier processes, which were at it for `seconds`."""
        self._points, self._before = list(earlier), seconds

    def on_step(self, step: Step) -> None:
        """Keep a step, and now and then its image; tell the display now and then."""
        if step.image is not None:
            if self.phase == "stylize" and snapshots.wanted(step.index, step.of):
                self._images[step.index] = _levels(step.image)
            step = replace(step, image=None)
        self.steps.append(step)
        self._mark()
        if self._marks[-1] - self._shown > PROGRESS_SECONDS:
            self._shown = self._marks[-1]
            self.progress(self.phase, step.index, step.of)

    def _mark(self) -> None:
        self._marks.append(time.perf_counter())
        if self.device.type == "cuda":  # the host runs ahead of the device: let the device say
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
        """Return the loss curve; this is where losses leave the device."""
        seconds = self._before + self._seconds()[1:]
        self._points += [
            TracePoint(self.phase, step.index, float(at), _numbers(step))
            for step, at in zip(self.steps[self._read :], seconds[self._read :], strict=True)
        ]
        self._read = len(self.steps)
        return list(self._points)

    def snapshots(self) -> dict[int, np.ndarray[Any, np.dtype[np.uint8]]]:
        """Return the images that were kept, uint8 (H, W, 3), by step."""
        return {
            index: image[0].permute(1, 2, 0).cpu().numpy() for index, image in self._images.items()
        }

    def pass_ms(self) -> tuple[float, float, float] | None:
        """Return the quartiles of milliseconds per step, or None where nothing was reported.

        The first tenth is left out where there are ten steps or more: caches fill, code compiles.
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


def _levels(image: torch.Tensor) -> torch.Tensor:
    """Copy an image as it would be saved; the device need not be waited for."""
    return image.detach().clamp(0, 1).mul_(255).round_().to(torch.uint8)


def _numbers(step: Step) -> dict[str, float]:
    return {name: float(loss) for name, loss in step.losses.items()}


class PeakMemory:
    """Megabytes at the highest point since `reset`: of the GPU's tensors, or of the process."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.of = "gpu" if device.type == "cuda" else "process"

    def reset(self) -> None:
        """Begin anew. A process' high-water mark can only be lowered on Linux."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        elif sys.platform == "linux":
            try:
                procfs.tell(CLEAR_REFS, "5")
            except OSError:
                self.of = "process since its start"

    def read(self) -> float | None:
        """Return the peak in megabytes (10^6 bytes), or None where it cannot be had."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 1e6
        if sys.platform == "linux":
            for line in procfs.begin_of(STATUS).splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024 / 1e6
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def load_average() -> float | None:
    """Return the machine's load over the last minute, where the system tells it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None
