"""The clock of a cell: warm-up, calibration, peak memory and repeats of quick stylizations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median_high
from typing import Any

import torch

from harness.encoders.feature_extractor import LayeredEncoder
from harness.execution.jobs import Progress
from harness.execution.machine import calibration
from harness.execution.machine.background_load import BackgroundLoad
from harness.execution.machine.timing import (
    REPEAT_SECONDS,
    OwnMeasurement,
    PeakMemory,
    Stopwatch,
    load_average,
    time_repeats,
    until_steady,
)
from harness.plan import Resources
from harness.protocols import Image
from harness.records import Calibration, Timing


class CellTimer:
    """Prepares a device for timed work and fills in the timing of cells."""

    def __init__(self, resources: Resources, device: torch.device, progress: Progress) -> None:
        self._resources, self._device, self._progress = resources, device, progress
        self.memory = PeakMemory(device)
        self._warm: set[tuple[Any, ...]] = set()  # encoders, shapes and layers that have run
        self._calibrated: dict[int, float] = {}  # size -> milliseconds of a pass

    def start(
        self, method: Any, encoder: LayeredEncoder, size: int, contents: Image
    ) -> Timing | None:
        """Warm up, calibrate, reset the peak memory; return the timing with what is known so far.

        Returns None, without any of that, if the method says that its times mean nothing.

        Args:
            method: Its layers are warmed up.
            encoder: Of the cells.
            size: Long edge of the images, pixels.
            contents: (N, 3, H, W) of N cells that run in one batch.
        """
        if method.timed == "nothing":
            return None
        warm_up = self._warm_up(method, encoder, contents)
        if size not in self._calibrated:
            self._progress("calibrate", 0, 1)
            self._calibrated[size] = self._pass_ms(size)
        load = load_average()
        self.memory.reset()
        return Timing(
            fit_seconds=0.0,
            fit_shared=False,
            stylize_seconds=0.0,
            repeats=0,
            warm_up_seconds=warm_up,
            passes=0,
            pass_ms=None,
            peak_mb=None,
            peak_of=self.memory.of,
            load=load,
            shared_by=len(contents),
            calibration_ms=self._calibrated[size],
            includes_start_up=method.timed == "stylization and start-up",
        )

    def finish(
        self,
        timed: Timing | None,
        first_seconds: float,
        stylize_again: Callable[[], Image] | None,
        background: BackgroundLoad,
        own: OwnMeasurement | None = None,
    ) -> Timing | None:
        """Return the timing with the seconds of the stylization; None if nothing is timed.

        Args:
            timed: From `start`.
            first_seconds: Of the first call.
            stylize_again: Repeats a quick call; then the median of the repeats counts, and the
                first, cold call does not. None for work that is not repeated.
            background: Started before the first call.
            own: What the method measures itself in each call.
        """
        if timed is None:
            return None
        seconds = [first_seconds]
        if stylize_again and first_seconds <= REPEAT_SECONDS:
            background.restart()
            seconds = time_repeats(stylize_again, self._device, self._resources.repeats, own)
        timed = replace(
            timed,
            stylize_seconds=median_high(seconds) / timed.shared_by,
            repeats=len(seconds),
            noisy=background.warning(background.busy_cores()),
            peak_mb=self.memory.read(),
        )
        if own is None or own.seconds is None:
            return timed
        # The program's own work would count as that of other processes.
        return replace(timed, noisy="", peak_mb=own.peak_mb, peak_of="program")

    def background_load(self) -> BackgroundLoad:
        """Start to measure other processes, beside the cores that this one uses."""
        return BackgroundLoad(torch.get_num_threads() if self._device.type == "cpu" else 1)

    def calibrations(self) -> list[Calibration]:
        """Measure the machine's pace again at every size that ran."""
        return [
            Calibration(size, before, self._pass_ms(size))
            for size, before in self._calibrated.items()
        ]

    def _pass_ms(self, size: int) -> float:
        return calibration.pass_ms(size, self._device, self._resources.precision)

    def _warm_up(self, method: Any, encoder: LayeredEncoder, contents: Image) -> float:
        """Run the encoder at every new shape until its time is steady; return the seconds.

        Caches fill, kernels are loaded and chosen, the processor reaches its clock rate. The first
        optimizer step of a process imports for a second, so one is made here.
        """
        layers = tuple(method.layers)
        key = (encoder.name, *contents.shape, hash(layers))
        if not layers or key in self._warm:
            return 0.0
        self._warm.add(key)
        with Stopwatch(self._device) as watch:
            image = contents.clone().requires_grad_()
            until_steady(lambda: _pass(encoder, image, layers), self._device)
            if len(self._warm) == 1:
                torch.optim.Adam([image], fused=True).step()
        return watch.seconds


def _pass(encoder: LayeredEncoder, image: Image, layers: Sequence[str]) -> None:
    image.grad = None
    features = encoder(image, layers)
    torch.stack([f.float().mean() for f in features.values()]).sum().backward()
