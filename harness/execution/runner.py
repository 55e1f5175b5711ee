"""Cell -> Record: fit (once per style and variant), stylize, measure, catch what goes wrong.

A Runner lives where cells run, in a worker; it keeps what is costly to make: the encoder, the
fitted stylizers, decoded photographs.
"""

from __future__ import annotations

import gc
import hashlib
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from harness import encoders
from harness.encoders.feature_extractor import LayeredEncoder
from harness.errors import Diverged, NstbenchError, TooLargeError
from harness.execution import own_losses, seeding
from harness.execution.checkpoints import StoredCheckpoints
from harness.execution.fit import Fit, FitInProgress, facts, pack, restored
from harness.execution.jobs import Job, Outcome, Progress, Setup, blank_score
from harness.execution.machine import calibration, environment, memory_estimate, timing
from harness.execution.machine.background_load import BackgroundLoad, unsteady
from harness.execution.machine.timing import until_steady
from harness.execution.own_losses import OwnLosses
from harness.protocols import Checkpoints, Context, Image, Step, Unavailable
from harness.records import (
    Calibration,
    Cell,
    EncoderUse,
    Failure,
    Record,
    Score,
    Timing,
    TracePoint,
)
from harness.registry import METHODS
from harness.resources.images import read, to_pixels, to_tensor
from harness.resources.training_images import Crops

OnStep: TypeAlias = Callable[[Step], None]

REPEAT_SECONDS = 1.0
"""A quick stylization is repeated until it has filled a second, or as often as the suite lets it;
its median counts and its first, cold call does not."""

CLAMPED = "the stored image is clamped already: `--fresh` stylizes again"


class Runner:
    """Runs cells one after the other on one device, or several at a time where that is asked."""

    def __init__(self, setup: Setup, progress: Progress = lambda phase, index, of: None) -> None:
        self.setup, self.progress = setup, progress
        self.device = torch.device("cpu" if setup.device == "cpu" else "cuda")
        self._encoders: dict[str, LayeredEncoder] = {}
        self.memory = timing.PeakMemory(self.device)
        self._fits: dict[str, Fit | Exception] = {}
        self._traces: list[timing.Trace] = []  # of the cells that run
        self._crops: dict[tuple[int, int], Crops] = {}
        self._warm: set[tuple[Any, ...]] = set()
        self._paces: dict[int, float] = {}

    def execute(self, job: Job) -> Outcome:
        """Run a cell; whatever its method does, the answer is an Outcome."""
        return self.execute_together([job])[0]

    def execute_together(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run cells of one variant in one batch; each alone where the batch fails.

        What runs out of memory alone is tried once more, with all memory given back.
        """
        outcomes = self._attempt(jobs)
        failure = outcomes[0].record.failure
        if len(jobs) > 1 or outcomes[0].record.status != "out_of_memory" or failure is None:
            return outcomes
        self._forget()
        return [replace(again, record=replace(again.record, attempts=(failure,)))
                for again in self._attempt(jobs)]  # fmt: skip

    def _attempt(self, jobs: Sequence[Job]) -> list[Outcome]:
        about = {"environment": self.setup.environment, "started": environment.now()}
        blanks = [Record(job.cell, "failed", **about) for job in jobs]  # type: ignore[arg-type]
        self._traces.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                outcomes = [self._rescore(jobs[0])] if jobs[0].stored else self._run(jobs, blanks)
            except (Exception, SystemExit) as error:  # a method may raise anything
                if len(jobs) > 1:
                    self._forget()
                    return [self.execute(job) for job in jobs]
                outcomes = [self._failed(jobs[0], blanks[0], error)]
        return [_with_notes(outcome, [str(w.message) for w in caught]) for outcome in outcomes]

    def calibrations(self) -> list[Calibration]:
        """Measure the machine's pace again, at every size that ran."""
        return [
            Calibration(size, before, calibration.pass_ms(size, self.device, self.setup.precision))
            for size, before in self._paces.items()
        ]

    def _pace(self, size: int) -> float:
        if size not in self._paces:
            self.progress("calibrate", 0, 1)
            pace = calibration.pass_ms(size, self.device, self.setup.precision)
            self._paces[size] = pace
        return self._paces[size]

    def _rescore(self, job: Job) -> Outcome:
        """Measure a stored image anew: a metric came, or its version rose."""
        assert job.stored is not None
        assert job.image is not None
        image = np.asarray(read(job.image))
        old = {score.name: score for score in job.stored.scores}
        scores = self._scores(job, image, None)
        new = {score.name: score for score in scores if not _lost(score, old.get(score.name))}
        scores = tuple({**old, **new}.values())
        return Outcome(replace(job.stored, cell=job.cell, scores=scores))

    def _run(self, jobs: Sequence[Job], blanks: Sequence[Record]) -> list[Outcome]:
        """Fit, stylize, measure. What the batch took is shared out evenly."""
        method = METHODS.build(jobs[0].cell.method, jobs[0].cell.params)
        encoder = self._encoder_of(method, jobs[0].cell)
        contents = _together([to_tensor(job.content).to(self.device) for job in jobs])
        memory_estimate.check(method, encoder, jobs[0].cell, contents)
        warm_up = self._warm_up(method, encoder, contents)
        pace = self._pace(jobs[0].cell.size)
        load = timing.load_average()
        self.memory.reset()
        self.progress("fit", 0, 1)
        fits = self._fitted(method, encoder, jobs)
        self.progress("stylize", 0, 1)
        notes = [f"{shallow} stood in for {deep}" for deep, shallow in encoder.stand_ins.items()]
        noted = [list(notes) for _ in jobs]
        traces = [self._trace("stylize") for _ in jobs]

        def contexts(listeners: Sequence[OnStep]) -> list[Context]:
            names = ((job.cell.content.name, job.cell.style.name) for job in jobs)
            return [
                self._context(job.cell, encoder, on_step, own, *pair)
                for job, on_step, own, pair in zip(jobs, listeners, noted, names, strict=True)
            ]

        def stylize(listeners: Sequence[OnStep]) -> Image:
            if len(jobs) == 1:
                return fits[0].stylizer(contents, contexts(listeners)[0])
            stylizers = [fit.stylizer for fit in fits]
            images: Image = method.stylize_batch(stylizers, contents, contexts(listeners))
            return images

        made = _stylized(stylize, traces, self.device, self.setup.repeats)
        _check(made.images, contents)
        peak = self.memory.read()
        shared = Timing(
            fit_seconds=0.0,
            fit_shared=False,
            stylize_seconds=made.seconds / len(jobs),
            repeats=made.repeats,
            warm_up_seconds=warm_up,
            passes=0,
            pass_ms=None,
            peak_mb=peak,
            peak_of=self.memory.of,
            load=load,
            noisy=made.noisy,
            shared_by=len(jobs),
            calibration_ms=pace,
        )
        self.progress("measure", 0, 1)
        return [
            self._outcome(job, replace(blank, timing=shared, notes=tuple(own)), method, *rest)
            for job, blank, own, *rest in zip(
                jobs, blanks, noted, fits, traces, _apart(made.images), strict=True
            )
        ]

    def _outcome(
        self, job: Job, timed: Record, method: Any, fit: Fit, trace: timing.Trace, image: Image
    ) -> Outcome:
        assert timed.timing is not None
        pixels, snapshots = to_pixels(image), trace.snapshots()
        own = self._own_losses(job, method, fit, image, pixels, snapshots)
        points = [*fit.trace, *(own.on(trace.points()) if own else trace.points())]
        lowest = _lowest(points)  # of raw pixels
        share, quartiles = timed.timing.shared_by, trace.pass_ms()
        took = replace(
            timed.timing,
            fit_seconds=fit.seconds,
            fit_shared=fit.served,
            passes=len(points),
            pass_ms=_divided(quartiles, share) or fit.pass_ms,
            peak_mb=max(filter(None, (timed.timing.peak_mb, fit.peak_mb)), default=None),
            noisy=timed.timing.noisy or unsteady(quartiles) or fit.noisy,
        )
        record = replace(
            timed,
            status="done",
            scores=self._scores(job, pixels, image),
            timing=took,
            width=pixels.shape[1],
            height=pixels.shape[0],
            image_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
            notes=(*fit.notes, *timed.notes, *(own.notes if own else ())),
            objective=own_losses.total(own.saved) if own else lowest,
            objective_raw=_first(lowest, own_losses.total(own.raw)) if own else None,
        )
        keep = not fit.kept and not fit.served and hasattr(method, "export")
        fit.served = True
        about = {**facts(fit), "deterministic": self.setup.deterministic}
        fitted = (pack(method, fit), about) if keep else None
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
        """Evaluate the method's own objective on what is saved, where it has the hook for it."""
        if not callable(getattr(method, "objective", None)):
            return None
        encoder = self._encoder_of(method, job.cell)
        context = self._context(job.cell, encoder, lambda step: None, [], "measure")
        content = to_tensor(job.content).to(self.device)
        objective = method.objective(fit.stylizer, content, context)
        return own_losses.evaluate(objective, image, pixels, snapshots)

    def _fitted(self, method: Any, encoder: LayeredEncoder, jobs: Sequence[Job]) -> list[Fit]:
        """Return the fits of cells.

        Those of one batch are kept at a time: a suite of a thousand styles needs no more memory
        than one of two. A fit that failed is not tried again for the next content.
        """
        self._fits = {job.cell.fit_id: self._fits[job.cell.fit_id] for job in jobs
                      if job.cell.fit_id in self._fits}  # fmt: skip
        for job in jobs:
            if job.cell.fit_id not in self._fits:
                try:
                    self._fits[job.cell.fit_id] = self._fit(method, encoder, job)
                except Exception as error:
                    self._fits[job.cell.fit_id] = error
                    raise
        found = [self._fits[job.cell.fit_id] for job in jobs]
        for fit in found:
            if isinstance(fit, Exception):
                raise fit
        return cast("list[Fit]", found)

    def _fit(self, method: Any, encoder: LayeredEncoder, job: Job) -> Fit:
        notes: list[str] = []
        trace = self._trace("fit")
        purpose = ("fit", job.cell.style.name)
        context = self._context(job.cell, encoder, trace.on_step, notes, *purpose)
        if job.kept is not None and hasattr(method, "restore"):
            return restored(method, job.kept, context)
        style = to_tensor(job.style).to(self.device)
        fit = FitInProgress(trace, self.memory, BackgroundLoad(_threads(self.device)), notes)
        checkpoints = self._checkpoints(method, job.cell, fit)
        stylizer = method.fit(style, replace(context, checkpoints=checkpoints))
        return Fit(**vars(fit.took()), stylizer=stylizer)

    def _checkpoints(self, method: Any, cell: Cell, fit: FitInProgress) -> Checkpoints:
        """Return where a fit that is worth keeping may leave its state."""
        store = self.setup.store
        if store is None or not hasattr(method, "export"):
            return Checkpoints()
        every = self.setup.checkpoint_seconds
        return StoredCheckpoints(store, cell.fit_id, fit, self.setup.environment, every)

    def _trace(self, phase: Literal["fit", "stylize"]) -> timing.Trace:
        self._traces.append(timing.Trace(phase, self.device, self.progress))
        return self._traces[-1]

    def _encoder_of(self, method: Any, cell: Cell) -> LayeredEncoder:
        encoder = self._encoder(cell.encoder)
        return encoder.with_stand_ins(encoders.stood_in(method, encoder.layers))

    def _encoder(self, use: EncoderUse) -> LayeredEncoder:
        """Return an encoder, loaded once; a cell's may be another one than the judge."""
        if use.sha256 not in self._encoders:
            self._encoders[use.sha256] = encoders.load(
                use,
                self.setup.encoder_files[use.sha256],
                device=self.device,
                precision=self.setup.precision,
            )
        return self._encoders[use.sha256]

    def _warm_up(self, method: Any, encoder: LayeredEncoder, contents: Image) -> float:
        """Run the encoder at every new shape, off the clock, until a pass takes what the last took.

        Caches fill, kernels load and are chosen, the processor finds its pace. The first optimizer
        of a process costs a second of imports: it is stepped here too.
        """
        layers = tuple(getattr(method, "layers", ()))
        key = (encoder.name, *contents.shape, hash(layers))
        if not layers or key in self._warm:
            return 0.0
        self._warm.add(key)
        with timing.Stopwatch(self.device) as watch:
            image = contents.clone().requires_grad_()
            until_steady(lambda: _pass(encoder, image, layers), self.device)
            if len(self._warm) == 1:
                torch.optim.Adam([image], fused=True).step()
        return watch.seconds

    def _context(
        self,
        cell: Cell,
        encoder: LayeredEncoder,
        on_step: OnStep,
        notes: list[str],
        *purpose: str,
    ) -> Context:
        generator = torch.Generator().manual_seed(seeding.derive(cell.seed, *purpose))

        def batches(batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
            key = (crop or cell.size, cell.size)
            if key not in self._crops:
                self._crops[key] = Crops(self.setup.training_files, *key)
            return self._crops[key].batches(batch_size, generator, skip)

        return Context(
            device=self.device,
            generator=generator,
            encoder=encoder,
            size=cell.size,
            on_step=on_step,
            batches=batches,
            note=notes.append,
        )

    def _scores(
        self, job: Job, pixels: NDArray[np.uint8], unclamped: Image | None
    ) -> tuple[Score, ...]:
        if not self.setup.metrics:
            return ()
        stylized, content, style = (
            to_tensor(p).to(self.device) for p in (pixels, job.content, job.style)
        )
        judge = self.setup.judge
        context = self._context(job.cell, self._encoder(judge), lambda step: None, [], "measure")
        return tuple(
            _score(metric, blank_score(metric, judge), image, content, style, context)
            for metric in self.setup.metrics
            for image in [unclamped if getattr(metric, "before_clamping", False) else stylized]
        )

    def _failed(self, job: Job, blank: Record, error: BaseException) -> Outcome:
        if isinstance(error, Diverged):
            return self._diverged(job, blank, error)
        if isinstance(error, TooLargeError):
            return Outcome(replace(blank, status="skipped", failure=_failure(error)))
        if _lacks_memory(error):
            return Outcome(replace(blank, status="out_of_memory", failure=_failure(error)))
        return Outcome(replace(blank, failure=_failure(error)))

    def _diverged(self, job: Job, blank: Record, error: Diverged) -> Outcome:
        """Keep the curve up to the end and the last finite image, scored like any other."""
        points = [point for trace in self._traces for point in trace.points()]
        kept = {
            index: image for trace in self._traces for index, image in trace.snapshots().items()
        }
        record = replace(blank, status="diverged", failure=Failure("Diverged", str(error)))
        if error.image is None:
            return Outcome(record, trace=points, snapshots=kept)
        pixels = to_pixels(error.image)
        scores = self._scores(job, pixels, error.image)
        record = replace(record, scores=scores, width=pixels.shape[1], height=pixels.shape[0])
        return Outcome(record, trace=points, pixels=pixels, snapshots=kept)

    def _forget(self) -> None:
        self._fits.clear()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


@dataclass(frozen=True)
class Stylized:
    """Images, the seconds of all together, of how many runs they are the median, what disturbed."""

    images: Image
    seconds: float
    repeats: int
    noisy: str


def _stylized(
    stylize: Callable[[Sequence[OnStep]], Image],
    traces: Sequence[timing.Trace],
    device: torch.device,
    repeats: int,
) -> Stylized:
    others = BackgroundLoad(_threads(device))

    def once(listeners: Sequence[OnStep]) -> tuple[Image, float]:
        with timing.Stopwatch(device) as watch:
            images = stylize(listeners)
        return images, watch.seconds

    images, first = once([trace.on_step for trace in traces])
    seconds = [first]
    if not traces[0].steps and first <= REPEAT_SECONDS:
        seconds = []
        others.begin()
        while len(seconds) < repeats and sum(seconds) < REPEAT_SECONDS:
            seconds.append(once([lambda step: None] * len(traces))[1])
    noisy = others.complaint(others.busy_cores())
    return Stylized(images, sorted(seconds)[len(seconds) // 2], len(seconds), noisy)


def _lowest(points: Sequence[TracePoint]) -> float | None:
    """Return the lowest total loss of a stylization: for Adam that may not be its last."""
    totals = [p.losses["total"] for p in points if p.phase == "stylize" and "total" in p.losses]
    return min(filter(math.isfinite, totals), default=None)


def _first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _together(images: Sequence[Image]) -> Image:
    return images[0] if len(images) == 1 else torch.cat(list(images))


def _apart(images: Image) -> Sequence[Image]:
    return [images] if len(images) == 1 else images.split(1)


def _threads(device: torch.device) -> int:
    """Return how many of the machine's cores the timed work needs."""
    return torch.get_num_threads() if device.type == "cpu" else 1


def _divided(
    quartiles: tuple[float, float, float] | None, share: int
) -> tuple[float, float, float] | None:
    if quartiles is None:
        return None
    low, median, high = quartiles
    return low / share, median / share, high / share


def _pass(encoder: LayeredEncoder, image: Image, layers: Sequence[str]) -> None:
    image.grad = None
    features = encoder(image, layers)
    torch.stack([f.float().mean() for f in features.values()]).sum().backward()


def _score(
    metric: Any,
    score: Score,
    stylized: Image | None,
    content: Image,
    style: Image,
    context: Context,
) -> Score:
    if stylized is None:
        return replace(score, why_missing=CLAMPED)
    try:
        value = float(metric(stylized, content, style, context))
    except Unavailable as reason:
        return replace(score, why_missing=str(reason))
    if not math.isfinite(value):
        return replace(score, why_missing=f"the score is {value}")
    return replace(score, value=value)


def _lost(score: Score, old: Score | None) -> bool:
    """Tell whether the stored score is one of the same kind that can no longer be taken."""
    if old is None or score.value is not None:
        return False
    return replace(score, value=old.value, why_missing=old.why_missing) == old


def _check(stylized: Image, content: Image) -> None:
    if stylized.shape != content.shape:
        raise NstbenchError(
            f"The method returned an image of shape {tuple(stylized.shape)} for a content image "
            f"of {tuple(content.shape)}."
        )
    if not math.isfinite(float(stylized.detach().cpu().numpy().sum())):
        raise NstbenchError("The method returned an image with values that are not finite.")


def _lacks_memory(error: BaseException) -> bool:
    # On a CPU torch raises a plain RuntimeError, which only its words tell apart.
    plain = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return plain or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def _failure(error: BaseException) -> Failure:
    own = isinstance(error, NstbenchError)
    lines = "" if own else "".join(traceback.format_exception(error))
    return Failure(type(error).__name__, str(error) or type(error).__name__, lines)


def _with_notes(outcome: Outcome, more: Sequence[str]) -> Outcome:
    notes = dict.fromkeys((*outcome.record.notes, *more))
    return replace(outcome, record=replace(outcome.record, notes=tuple(notes)))
