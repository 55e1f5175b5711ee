"""Cell -> Outcome: read or make the fit, stylize, measure.

A Runner lives in a worker process and keeps what is costly to make: encoders, fits, decoded
photographs. `batch_runner` runs several cells at once with its parts.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from harness.encoders.feature_extractor import LayeredEncoder
from harness.execution import own_losses
from harness.execution.context import ContextFactory
from harness.execution.failures import check_image, failed_outcome
from harness.execution.fit import Fit, FitInProgress, pack_tensors, restore, to_json
from harness.execution.jobs import Job, Outcome, Progress
from harness.execution.machine import environment, memory_estimate
from harness.execution.machine.background_load import spread_warning
from harness.execution.machine.cell_timer import CellTimer
from harness.execution.machine.timing import OwnMeasurement, Stopwatch, Trace
from harness.execution.own_losses import OwnLosses
from harness.execution.scoring import Scorer, release_cached_memory
from harness.plan import Resources
from harness.programs import close_shared
from harness.protocols import Image, SupportsClose, SupportsExport, SupportsObjective
from harness.records import Cell, Failure, Record, Timing, TracePoint
from harness.registry import METHODS
from harness.resources.images import to_pixels, to_tensor


class Runner:
    """Runs cells on one device, one after the other."""

    def __init__(
        self, resources: Resources, progress: Progress = lambda phase, index, of: None
    ) -> None:
        self.resources, self.progress = resources, progress
        self.device = torch.device("cpu" if resources.device == "cpu" else "cuda")
        self.contexts = ContextFactory(resources, self.device)
        self.scorer = Scorer(resources, self.contexts, self.device)
        self.timer = CellTimer(resources, self.device, progress)
        self.traces: list[Trace] = []  # of the running cells
        self._fits: dict[str, Fit | Exception] = {}  # by fit id

    def execute(self, job: Job, attempts: tuple[Failure, ...] = ()) -> Outcome:
        """Run a cell; an exception of its method becomes a record that names it.

        A cell that runs out of memory runs once more after cached memory is released.
        """
        blank = self.blank_record(job)
        self.traces.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                outcome = self.scorer.rescore(job) if job.stored else self._run(job, blank)
            except (Exception, SystemExit) as error:  # a method may raise anything
                outcome = failed_outcome(job, blank, error, self.traces, self.scorer)
        outcome = with_notes(outcome, [str(warning.message) for warning in caught])
        failure = outcome.record.failure
        if outcome.record.status == "out_of_memory" and failure and not attempts:
            self.release_memory()
            return self.execute(job, attempts=(failure,))
        if attempts:
            return replace(outcome, record=replace(outcome.record, attempts=attempts))
        return outcome

    def _run(self, job: Job, blank: Record) -> Outcome:
        cell = job.cell
        method = METHODS.build(cell.method, cell.params)
        encoder = self.contexts.encoder_for(method, cell)
        content = to_tensor(job.content).to(self.device)
        memory_estimate.check(method, encoder, cell, content)
        timed = self.timer.start(method, encoder, cell.size, content)
        self.keep_fits([cell])
        fit = self.fit(method, encoder, job)

        self.progress("stylize", 0, 1)
        names, notes = (cell.content.name, cell.style.name), stand_in_notes(encoder)
        make_context, background = self.contexts.make, self.timer.background_load()
        trace = self.start_trace("stylize")
        own = OwnMeasurement()
        context = make_context(cell, encoder, *names, on_step=trace.on_step, notes=notes, own=own)
        with Stopwatch(self.device, own) as watch:
            image = fit.stylizer(content, context)

        def stylize_again() -> Image:
            return fit.stylizer(content, make_context(cell, encoder, *names, notes=notes, own=own))

        again = None if trace.steps else stylize_again
        timed = self.timer.finish(timed, watch.seconds, again, background, own)
        check_image(image, content, cell.precision)

        self.progress("measure", 0, 1)
        pixels = to_pixels(image)
        scores = self.scorer.score(job, pixels, image)
        record = replace(blank, timing=timed, scores=scores, notes=tuple(notes))
        return self.outcome(job, record, method, fit, trace, image, pixels)

    def blank_record(self, job: Job) -> Record:
        """Return the record of a cell that starts now; it counts as failed until it is done."""
        facts, started = self.resources.environment, environment.now()
        return Record(job.cell, "failed", environment=facts, started=started)

    def outcome(
        self,
        job: Job,
        record: Record,
        method: Any,
        fit: Fit,
        trace: Trace,
        image: Image,
        pixels: NDArray[np.uint8],
    ) -> Outcome:
        """Complete the record of a measured cell, and return it with what is stored beside it."""
        snapshots = trace.snapshots()
        own = self._own_losses(job, method, fit, image, pixels, snapshots)
        points = [*fit.trace, *(own.add_to(trace.points()) if own else trace.points())]
        lowest = lowest_total(points)  # of raw pixels
        raw = own_losses.total(own.raw) if own else None
        record = replace(
            record,
            status="done",
            timing=record.timing and _with_fit(record.timing, fit, len(points), trace.pass_ms()),
            width=pixels.shape[1],
            height=pixels.shape[0],
            image_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
            notes=(*fit.notes, *record.notes, *(own.notes if own else ())),
            objective=own_losses.total(own.saved) if own else lowest,
            objective_raw=(raw if lowest is None else lowest) if own else None,
        )
        fitted = None
        if not fit.kept and not fit.served and isinstance(method, SupportsExport):
            facts = {**to_json(fit), "deterministic": self.resources.deterministic}
            fitted = (pack_tensors(method, fit, job.cell), facts)
        fit.served = True
        return Outcome(record, trace=points, fitted=fitted, pixels=pixels, snapshots=snapshots)

    def _own_losses(
        self,
        job: Job,
        method: Any,
        fit: Fit,
        image: Image,
        pixels: NDArray[np.uint8],
        snapshots: Mapping[int, NDArray[np.uint8]],
    ) -> OwnLosses | None:
        """Evaluate the method's own objective, if it has one, on the saved image."""
        if not isinstance(method, SupportsObjective):
            return None
        encoder = self.contexts.encoder_for(method, job.cell)
        content = to_tensor(job.content).to(self.device)
        context = self.contexts.make(job.cell, encoder, "measure")
        objective = method.objective(fit.stylizer, content, context)
        return own_losses.evaluate(objective, image, pixels, snapshots)

    def keep_fits(self, cells: Sequence[Cell]) -> None:
        """Drop all fits but those of these cells: memory use does not grow with the suite."""
        for fit_id in self._fits.keys() - {cell.fit_id for cell in cells}:
            self._drop_fit(fit_id)

    def _drop_fit(self, fit_id: str) -> None:
        fit = self._fits.pop(fit_id)
        if isinstance(fit, Fit) and isinstance(fit.stylizer, SupportsClose):
            with suppress(Exception):  # it must not fail the cell of another method
                fit.stylizer.close()

    def fit(self, method: Any, encoder: LayeredEncoder, job: Job) -> Fit:
        """Return the fit of a cell: the one in memory, that of an earlier run, or a new one.

        A fit that raised raises the same exception again instead of running for every content.
        """
        self.progress("fit", 0, 1)
        fit_id = job.cell.fit_id
        if fit_id not in self._fits:
            try:
                self._fits[fit_id] = self._restore_or_make_fit(method, encoder, job)
            except Exception as error:
                self._fits[fit_id] = error
        fit = self._fits[fit_id]
        if isinstance(fit, Exception):
            raise fit
        return fit

    def _restore_or_make_fit(self, method: Any, encoder: LayeredEncoder, job: Job) -> Fit:
        cell, notes, trace = job.cell, list[str](), self.start_trace("fit")
        own = OwnMeasurement()
        context = self.contexts.make(
            cell, encoder, "fit", cell.style.name, on_step=trace.on_step, notes=notes, own=own
        )
        if job.kept is not None and isinstance(method, SupportsExport):
            return restore(method, job.kept, context)
        style = to_tensor(job.style_to_learn).to(self.device)
        fit = FitInProgress(trace, self.timer.memory, self.timer.background_load(), notes, own)
        checkpoints = self.contexts.checkpoints(method, cell, fit)
        stylizer = method.fit(style, replace(context, checkpoints=checkpoints))
        return Fit(**vars(fit.stats()), stylizer=stylizer)

    def start_trace(self, phase: Literal["fit", "stylize"]) -> Trace:
        """Start the trace of a phase; a cell that diverges keeps its traces."""
        self.traces.append(Trace(phase, self.device, self.progress))
        return self.traces[-1]

    def release_memory(self) -> None:
        """Drop all fits, shared programs and cached memory."""
        self.close()
        release_cached_memory()

    def close(self) -> None:
        """Drop all fits and end all programs."""
        self.keep_fits([])
        close_shared()


def stand_in_notes(encoder: LayeredEncoder) -> list[str]:
    """Return a note for each layer that another layer replaces."""
    return [f"{shallow} stood in for {deep}" for deep, shallow in encoder.stand_ins.items()]


def with_notes(outcome: Outcome, notes: Sequence[str]) -> Outcome:
    """Return an outcome with more notes on its record, each note once."""
    merged = tuple(dict.fromkeys((*outcome.record.notes, *notes)))
    return replace(outcome, record=replace(outcome.record, notes=merged))


def lowest_total(points: Sequence[TracePoint]) -> float | None:
    """Return the lowest total loss of a stylization: Adam's last is not always its lowest."""
    totals = [p.losses["total"] for p in points if p.phase == "stylize" and "total" in p.losses]
    return min(filter(math.isfinite, totals), default=None)


def _with_fit(
    timed: Timing, fit: Fit, passes: int, quartiles: tuple[float, float, float] | None
) -> Timing:
    """Return the timing of a cell with its fit and its passes; a batch shares the passes' time."""
    pass_ms = fit.pass_ms
    if quartiles is not None:
        low, median, high = (ms / timed.shared_by for ms in quartiles)
        pass_ms = (low, median, high)
    return replace(
        timed,
        fit_seconds=fit.seconds,
        fit_shared=fit.served,
        passes=passes,
        pass_ms=pass_ms,
        peak_mb=max(filter(None, (timed.peak_mb, fit.peak_mb)), default=None),
        noisy=timed.noisy or spread_warning(quartiles) or fit.noisy,
    )
