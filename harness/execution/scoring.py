"""Measure a stylized image with the metrics of a suite. Importing this module loads no torch."""

from __future__ import annotations

import gc
import math
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.execution.jobs import Job, Outcome
from harness.protocols import Image, Unavailable
from harness.records import EncoderUse, Score
from harness.resources.images import read, to_tensor

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness.execution.context import ContextFactory
    from harness.plan import Resources

NOT_BEFORE_CLAMPING = "the stored image is clamped already: `--fresh` stylizes again"


class Scorer:
    """Takes the scores of stylized images with the judge as encoder."""

    def __init__(
        self, resources: Resources, contexts: ContextFactory, device: torch.device
    ) -> None:
        self._resources, self._contexts, self._device = resources, contexts, device

    def score(
        self,
        job: Job,
        pixels: NDArray[np.uint8],
        unclamped: Image | None,
        why_clamped: str = NOT_BEFORE_CLAMPING,
    ) -> tuple[Score, ...]:
        """Return one score per metric.

        Args:
            job: The cell with its content and style.
            pixels: The image as it is saved, uint8 (H, W, 3).
            unclamped: What the method returned, for metrics that measure before clamping; None
                if only the saved image exists.
            why_clamped: The reason for the missing scores of those metrics in that case.
        """
        metrics, judge = self._resources.metrics, self._resources.encoder
        if not metrics:
            return ()
        stylized, content, style = (
            to_tensor(image).to(self._device) for image in (pixels, job.content, job.style)
        )
        context = self._contexts.make(job.cell, self._contexts.encoder(judge), "measure")
        scores = []
        for metric in metrics:
            score = blank_score(metric, judge)
            image = unclamped if metric.before_clamping else stylized
            try:
                if image is None:
                    raise Unavailable(why_clamped)
                value = _measure(metric, image, content, style, context)
            except Unavailable as reason:
                scores.append(replace(score, why_missing=str(reason)))
            except (Exception, SystemExit) as error:  # a metric may raise anything
                scores.append(replace(score, why_missing=_describe(error, pixels)))
            else:
                scores.append(_with_value(score, value))
        return tuple(scores)

    def rescore(self, job: Job) -> Outcome:
        """Return the stored record of a cell, with its stored image measured again.

        A stored score is replaced unless the metric can no longer measure it.
        """
        assert job.stored is not None
        assert job.image is not None
        scores = {score.name: score for score in job.stored.scores}
        for score in self.score(job, np.asarray(read(job.image)), None):
            stored = scores.get(score.name)
            if stored is None or score.value is not None or not _same_kind(score, stored):
                scores[score.name] = score
        return Outcome(replace(job.stored, cell=job.cell, scores=tuple(scores.values())))


def blank_score(metric: Any, judge: EncoderUse) -> Score:
    """Return a metric's score without a value; the lens `encoder` becomes the judge's name."""
    through_judge = metric.lens == "encoder"
    return Score(
        name=metric.score_name,
        value=None,
        unit=metric.unit,
        better=metric.better,
        lens=judge.name if through_judge else metric.lens,
        version=metric.version,
        why_missing=metric.missing,
        lens_sha256=judge.sha256 if through_judge else metric.lens_sha256,
    )


def _measure(metric: Any, *inputs: Any) -> float:
    """Return the score; if the device has not enough memory, release what is cached and repeat."""
    try:
        return float(metric(*inputs))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release_cached_memory()
    return float(metric(*inputs))


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory could not be allocated on the device or in the process."""
    import torch

    # On a CPU torch raises a plain RuntimeError; only its message differs.
    plain = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return plain or isinstance(error, (MemoryError, torch.OutOfMemoryError))


def release_cached_memory() -> None:
    """Return memory that torch keeps for later tensors to the device."""
    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _describe(error: BaseException, pixels: NDArray[np.uint8]) -> str:
    """Return the reason for a missing score if a metric raised an unexpected exception."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    message = next(iter(str(error).splitlines()), "no message")
    return (
        f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {message}"
        f" (image of {pixels.shape[1]} x {pixels.shape[0]} pixels)."
        " After a correction of the metric, `nstbench rescore` measures stored images again."
    )


def _with_value(score: Score, value: float) -> Score:
    if math.isfinite(value):
        return replace(score, value=value)
    return replace(score, why_missing=f"the score is {value}")


def _same_kind(score: Score, stored: Score) -> bool:
    """Return True if two scores differ only in their values and the wording of their unit."""
    same = replace(score, value=stored.value, why_missing=stored.why_missing, unit=stored.unit)
    return same == stored
