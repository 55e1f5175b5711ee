"""Cell -> Record: fit (once per style and variant), stylize, measure, catch what goes wrong.

A Runner lives where cells run, in a worker; it keeps what is costly to make: the encoder, the
fitted stylizers, decoded photographs.
"""

from __future__ import annotations

import datetime
import hashlib
import math
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from harness import encoders, seeds, timing
from harness.encoders.layered import LayeredEncoder
from harness.errors import Diverged, NstbenchError
from harness.images import read, to_pixels, to_png, to_tensor
from harness.jobs import Job, Outcome, Progress, Setup, blank_score
from harness.protocols import Context, Image, Step, Stylizer, Unavailable
from harness.records import Cell, EncoderUse, Failure, Record, Score, Timing, TracePoint
from harness.registry import METHODS
from harness.training import Crops

OnStep: TypeAlias = Callable[[Step], None]

REPEAT_SECONDS, MOST_REPEATS = 1.0, 10
"""A quick stylization is repeated until it has filled a second, at most ten times; its median
counts and its first, cold call does not."""


@dataclass
class Fit:
    """A fitted stylizer and what its fit took."""

    stylizer: Stylizer
    seconds: float
    trace: list[TracePoint]
    pass_ms: tuple[float, float, float] | None
    peak_mb: float | None
    notes: list[str]
    served: bool = False  # has stylized a content before: the next one shares its fit


class Runner:
    """Runs cells one after the other on one device."""

    def __init__(self, setup: Setup, progress: Progress = lambda phase, index, of: None) -> None:
        self.setup, self.progress = setup, progress
        self.device = torch.device("cpu" if setup.device == "cpu" else "cuda")
        self._encoders: dict[str, LayeredEncoder] = {}
        self.memory = timing.PeakMemory(self.device)
        self._fits: dict[str, Fit | Exception] = {}
        self._traces: list[timing.Trace] = []  # of the cell that runs
        self._crops: dict[int, Crops] = {}
        self._warm: set[tuple[Any, ...]] = set()

    def execute(self, job: Job) -> Outcome:
        """Run a cell; whatever its method does, the answer is an Outcome."""
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        blank = Record(job.cell, "failed", environment=self.setup.environment, started=started)
        self._traces.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                outcome = self._rescore(job) if job.stored else self._run(job, blank)
            except Diverged as error:
                outcome = self._diverged(job, blank, error)
            except torch.OutOfMemoryError as error:
                self._forget()
                outcome = Outcome(replace(blank, status="out_of_memory", failure=_failure(error)))
            except Exception as error:  # a method may raise anything; the suite goes on
                outcome = Outcome(replace(blank, failure=_failure(error)))
        notes = dict.fromkeys((*outcome.record.notes, *(str(w.message) for w in caught)))
        return replace(outcome, record=replace(outcome.record, notes=tuple(notes)))

    def _rescore(self, job: Job) -> Outcome:
        """Measure a stored image anew: a metric came, or its version rose."""
        assert job.stored is not None
        assert job.image is not None
        image = to_tensor(np.asarray(read(job.image))).to(self.device)
        old = {score.name: score for score in job.stored.scores}
        new = {score.name: score for score in self._scores(job, image)}
        scores = tuple({**old, **new}.values())
        return Outcome(replace(job.stored, cell=job.cell, scores=scores))

    def _run(self, job: Job, blank: Record) -> Outcome:
        content, style = (to_tensor(p).to(self.device) for p in (job.content, job.style))
        method = METHODS.build(job.cell.method, job.cell.params)
        encoder = self._encoder_of(method, job.cell)
        warm_up = self._warm_up(method, encoder, content)
        load = timing.load_average()
        fit, fresh = self._fitted(method, encoder, job, style)
        notes = [f"{shallow} stood in for {deep}" for deep, shallow in encoder.stand_ins.items()]
        self.memory.reset()
        trace = self._trace("stylize")

        def context(on_step: OnStep) -> Context:
            cell = job.cell
            return self._context(cell, encoder, on_step, notes, cell.content.name, cell.style.name)

        stylized, seconds, repeats = _stylize(fit.stylizer, content, context, trace, self.device)
        peak = self.memory.read()
        _check(stylized, content)
        pixels = to_pixels(stylized)

        self.progress("measure", 0, 1)
        points = [*fit.trace, *trace.points()]
        record = replace(
            blank,
            status="done",
            scores=self._scores(job, to_tensor(pixels).to(self.device)),
            timing=Timing(
                fit_seconds=fit.seconds,
                fit_shared=fit.served,
                stylize_seconds=seconds,
                repeats=repeats,
                warm_up_seconds=warm_up,
                passes=len(points),
                pass_ms=trace.pass_ms() or fit.pass_ms,
                peak_mb=max(filter(None, (peak, fit.peak_mb)), default=None),
                peak_of=self.memory.of,
                load=load,
            ),
            width=pixels.shape[1],
            height=pixels.shape[0],
            image_sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
            notes=(*fit.notes, *notes),
        )
        fit.served = True
        keep = fresh and job.kept is None and hasattr(method, "export")
        fitted = (_pack(method, fit), _facts(fit)) if keep else None
        return Outcome(record, to_png(pixels), points, fitted)

    def _fitted(
        self, method: Any, encoder: LayeredEncoder, job: Job, style: Image
    ) -> tuple[Fit, bool]:
        """Return the fit of a cell, and whether it was made just now.

        One is kept at a time: a suite of a thousand styles needs no more memory than one of two.
        A fit that failed is not tried again for the next content.
        """
        fit_id = job.cell.fit_id
        fresh = fit_id not in self._fits
        if fresh:
            try:
                self._fits = {fit_id: self._fit(method, encoder, job, style)}
            except Exception as error:
                self._fits = {fit_id: error}
                raise
        fit = self._fits[fit_id]
        if isinstance(fit, Exception):
            raise fit
        return fit, fresh

    def _fit(self, method: Any, encoder: LayeredEncoder, job: Job, style: Image) -> Fit:
        notes: list[str] = []
        trace = self._trace("fit")
        purpose = ("fit", job.cell.style.name)
        context = self._context(job.cell, encoder, trace.on_step, notes, *purpose)
        if job.kept is not None and hasattr(method, "restore"):
            return _restore(method, job.kept, context)
        self.memory.reset()
        with timing.Stopwatch(self.device) as watch:
            stylizer = method.fit(style, context)
        return Fit(
            stylizer, watch.seconds, trace.points(), trace.pass_ms(), self.memory.read(), notes
        )

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

    def _warm_up(self, method: Any, encoder: LayeredEncoder, content: Image) -> float:
        """Run the encoder once at every new shape, off the clock: caches fill, kernels load.

        The first optimizer of a process costs a second of imports: it is stepped here too.
        """
        layers = tuple(getattr(method, "layers", ()))
        key = (encoder.name, *content.shape[-2:], hash(layers))
        if not layers or key in self._warm:
            return 0.0
        self._warm.add(key)
        with timing.Stopwatch(self.device) as watch:
            image = content.clone().requires_grad_()
            features = encoder(image, layers)
            torch.stack([f.mean() for f in features.values()]).sum().backward()
            if len(self._warm) == 1:
                torch.optim.Adam([image]).step()
        return watch.seconds

    def _context(
        self,
        cell: Cell,
        encoder: LayeredEncoder,
        on_step: OnStep,
        notes: list[str],
        *purpose: str,
    ) -> Context:
        generator = torch.Generator().manual_seed(seeds.derive(cell.seed, *purpose))

        def batches(batch_size: int, crop: int | None) -> Iterator[Image]:
            size = crop or cell.size
            if size not in self._crops:
                self._crops[size] = Crops(self.setup.training_files, size)
            return self._crops[size].batches(batch_size, generator)

        return Context(
            device=self.device,
            generator=generator,
            encoder=encoder,
            size=cell.size,
            on_step=on_step,
            batches=batches,
            note=notes.append,
        )

    def _scores(self, job: Job, stylized: Image) -> tuple[Score, ...]:
        content, style = (to_tensor(p).to(self.device) for p in (job.content, job.style))
        judge = self.setup.judge
        context = self._context(job.cell, self._encoder(judge), lambda step: None, [], "measure")
        return tuple(
            _score(metric, blank_score(metric, judge), stylized, content, style, context)
            for metric in self.setup.metrics
        )

    def _diverged(self, job: Job, blank: Record, error: Diverged) -> Outcome:
        """Keep the curve up to the end and the last finite image, scored like any other."""
        points = [point for trace in self._traces for point in trace.points()]
        record = replace(blank, status="diverged", failure=Failure("Diverged", str(error)))
        if error.image is None:
            return Outcome(record, trace=points)
        pixels = to_pixels(error.image)
        scores = self._scores(job, to_tensor(pixels).to(self.device))
        record = replace(record, scores=scores, width=pixels.shape[1], height=pixels.shape[0])
        return Outcome(record, to_png(pixels), points)

    def _forget(self) -> None:
        self._fits.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _stylize(
    stylizer: Stylizer,
    content: Image,
    context: Callable[[OnStep], Context],
    trace: timing.Trace,
    device: torch.device,
) -> tuple[Image, float, int]:
    """Return the stylized image, the seconds it took, and the median over how many runs that is."""

    def once(on_step: OnStep) -> tuple[Image, float]:
        with timing.Stopwatch(device) as watch:
            image = stylizer(content, context(on_step))
        return image, watch.seconds

    image, first = once(trace.on_step)
    if trace.steps or first > REPEAT_SECONDS:
        return image, first, 1
    seconds: list[float] = []
    while len(seconds) < MOST_REPEATS and sum(seconds) < REPEAT_SECONDS:
        seconds.append(once(lambda step: None)[1])
    return image, sorted(seconds)[len(seconds) // 2], len(seconds)


def _score(
    metric: Any, score: Score, stylized: Image, content: Image, style: Image, context: Context
) -> Score:
    try:
        value = float(metric(stylized, content, style, context))
    except Unavailable as reason:
        return replace(score, why_missing=str(reason))
    if not math.isfinite(value):
        return replace(score, why_missing=f"the score is {value}")
    return replace(score, value=value)


def _check(stylized: Image, content: Image) -> None:
    if stylized.shape != content.shape:
        raise NstbenchError(
            f"The method returned an image of shape {tuple(stylized.shape)} for a content image "
            f"of {tuple(content.shape)}."
        )
    if not torch.isfinite(stylized).all():
        raise NstbenchError("The method returned an image with values that are not finite.")


def _failure(error: BaseException) -> Failure:
    own = isinstance(error, NstbenchError)
    lines = "" if own else "".join(traceback.format_exception(error))
    return Failure(type(error).__name__, str(error) or type(error).__name__, lines)


def _pack(method: Any, fit: Fit) -> bytes:
    import safetensors.torch

    return safetensors.torch.save(method.export(fit.stylizer))


def _facts(fit: Fit) -> dict[str, Any]:
    return {
        "seconds": fit.seconds,
        "pass_ms": fit.pass_ms,
        "peak_mb": fit.peak_mb,
        "notes": fit.notes,
        "trace": [[p.index, p.seconds, dict(p.losses)] for p in fit.trace],
    }


def _restore(method: Any, kept: tuple[bytes, dict[str, Any]], context: Context) -> Fit:
    import safetensors.torch

    model, facts = kept
    pass_ms = facts["pass_ms"]
    return Fit(
        stylizer=method.restore(safetensors.torch.load(model), context),
        seconds=facts["seconds"],
        trace=[TracePoint("fit", i, at, losses) for i, at, losses in facts["trace"]],
        pass_ms=(pass_ms[0], pass_ms[1], pass_ms[2]) if pass_ms else None,
        peak_mb=facts["peak_mb"],
        notes=facts["notes"],
        served=True,
    )
