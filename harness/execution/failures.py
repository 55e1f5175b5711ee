"""What becomes of a cell whose method raises or returns something that is no image."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from dataclasses import replace

from harness.errors import Diverged, NstbenchError, ProgramError, TooLargeError
from harness.execution.jobs import Job, Outcome
from harness.execution.machine.timing import Trace
from harness.execution.scoring import Scorer, is_out_of_memory
from harness.protocols import Image
from harness.records import Failure, Record, Status
from harness.resources.images import to_pixels

PRECISION_HINT = " Rounding to bfloat16 can cause this: run it with --precision float32."


def check_image(stylized: Image, content: Image, precision: str) -> None:
    """Raise NstbenchError if an image has another shape than its content, or is not finite."""
    if stylized.shape != content.shape:
        raise NstbenchError(
            f"The method returned an image of shape {tuple(stylized.shape)} for a content image "
            f"of {tuple(content.shape)}."
        )
    if not math.isfinite(float(stylized.detach().cpu().numpy().sum())):
        hint = PRECISION_HINT if precision == "bfloat16" else ""
        raise NstbenchError(f"The method returned an image with values that are not finite.{hint}")


def failed_outcome(
    job: Job, blank: Record, error: BaseException, traces: Sequence[Trace], scorer: Scorer
) -> Outcome:
    """Return the outcome of a cell that raised.

    A cell that diverged keeps its curve and its last finite image, which is scored.
    """
    record = replace(blank, status=status_of(error), failure=describe(error, job.cell.precision))
    if not isinstance(error, Diverged):
        return Outcome(record)
    points = [point for trace in traces for point in trace.points()]
    snapshots = {step: image for trace in traces for step, image in trace.snapshots().items()}
    if error.image is None:
        return Outcome(record, trace=points, snapshots=snapshots)
    pixels = to_pixels(error.image)
    height, width, _ = pixels.shape
    scores = scorer.score(job, pixels, error.image)
    record = replace(record, scores=scores, width=width, height=height)
    return Outcome(record, trace=points, pixels=pixels, snapshots=snapshots)


def status_of(error: BaseException) -> Status:
    """Return the status of a cell that ended with this exception."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, ProgramError):
        return error.status
    if isinstance(error, TooLargeError):
        return "skipped"
    return "out_of_memory" if is_out_of_memory(error) else "failed"


def describe(error: BaseException, precision: str) -> Failure:
    """Return the message of an exception, with the traceback if it may be a bug of the method."""
    hint = PRECISION_HINT if isinstance(error, Diverged) and precision == "bfloat16" else ""
    expected = isinstance(error, NstbenchError)
    lines = "" if expected else "".join(traceback.format_exception(error))
    return Failure(type(error).__name__, (str(error) or type(error).__name__) + hint, lines)
