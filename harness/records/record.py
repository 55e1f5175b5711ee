"""The result of one cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.records.cell import Cell

SCHEMA = 2
"""Increase it if older code would fail to read a new record, or misread it. `objective` is the loss
of the saved image since schema 2, and that of raw pixels in schema 1."""

Status = Literal[
    "done", "diverged", "failed", "skipped", "out_of_memory", "timeout", "crashed", "interrupted"
]  # fmt: skip
Direction = Literal["lower", "higher", "neither"]

SAVED_IMAGE, RAW_PIXELS = "saved image", "raw pixels"
"""Images that a loss refers to: clamped and rounded to 8 bits, or as the method returned them. A
loss of one is not comparable with a loss of the other."""

BITWISE = "bitwise on this machine"  # prefix of environment["deterministic"] of exact results
SNAPSHOT_EDGE = 256  # long edge of intermediate images, pixels


@dataclass(frozen=True)
class Score:
    """One measurement of one stylized image; `value` is None if `why_missing` has a reason."""

    name: str
    value: float | None
    unit: str
    better: Direction
    lens: str  # input of the metric: pixels, squeezenet1_1, alexnet ...
    version: int = 1
    why_missing: str = ""
    lens_sha256: str = ""  # of the weights of `lens`


@dataclass(frozen=True)
class Timing:
    """Seconds and memory of a cell, without warm-up, synchronisation and metrics."""

    fit_seconds: float
    fit_shared: bool  # other cells used the same fit; its seconds are not divided
    stylize_seconds: float  # median over `repeats`
    repeats: int
    warm_up_seconds: float
    passes: int  # forward + backward runs of the encoder, or training steps
    pass_ms: tuple[float, float, float] | None  # quartiles: 25 %, median, 75 %
    peak_mb: float | None
    peak_of: str  # "gpu" (allocated tensors), "process" or "program" (resident memory)
    load: float | None = None  # load average at the start of the cell
    noisy: str = ""  # what disturbed the measurement; then times are unreliable
    shared_by: int = 1  # cells in one batch; each gets an equal share of its seconds
    calibration_ms: float | None = None  # of a calibration pass at this size, before the run
    includes_start_up: bool = False  # a program started in each stylization

    @property
    def calibrated(self) -> float | None:
        """Stylization time in calibration passes, which is comparable across machines."""
        return 1000 * self.stylize_seconds / self.calibration_ms if self.calibration_ms else None


@dataclass(frozen=True)
class Calibration:
    """Speed of the machine before and after a run (`execution/machine/calibration.py`)."""

    size: int  # pixels
    before_ms: float
    after_ms: float

    @property
    def drift(self) -> float:
        """Relative change of the speed: 0.05 is five per cent, faster or slower."""
        return abs(self.after_ms - self.before_ms) / min(self.after_ms, self.before_ms)


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result: `message` for users, `traceback` for bug reports."""

    kind: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Record:
    """The result of a cell."""

    cell: Cell
    status: Status
    scores: tuple[Score, ...] = ()
    timing: Timing | None = None  # None if done: not measured, the image was made before
    width: int = 0
    height: int = 0
    image_sha256: str = ""  # of the pixels, to compare images
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    started: str = ""  # ISO 8601, UTC
    schema: int = SCHEMA
    objective: float | None = None  # total loss of the saved image, in the method's own objective
    objective_raw: float | None = None  # lowest of raw pixels; None if `objective` is that loss
    attempts: tuple[Failure, ...] = ()  # failures of earlier attempts in the same run

    @property
    def ok(self) -> bool:
        """True if the cell finished, so that its result can be reused."""
        return self.status == "done"

    @property
    def timed(self) -> str:
        """What its times contain, a value of `Method.timed`; empty if it ended without times."""
        if self.timing is None:
            return "nothing" if self.ok else ""
        return "stylization and start-up" if self.timing.includes_start_up else "stylization"

    @property
    def objective_of(self) -> str:
        """The image that `objective` refers to: raw pixels in schema 1, and without that hook."""
        if self.objective is None:
            return ""
        return RAW_PIXELS if self.objective_raw is None else SAVED_IMAGE

    @property
    def bitwise(self) -> bool:
        """True if the same machine reproduces the image bit for bit."""
        return self.environment.get("deterministic", "").startswith(BITWISE)

    def score(self, name: str) -> Score | None:
        """Return the score called `name`, or None."""
        return next((score for score in self.scores if score.name == name), None)


@dataclass(frozen=True)
class TracePoint:
    """One step of an optimisation or a training, in the method's own objective."""

    phase: Literal["fit", "stylize"]
    index: int
    seconds: float  # since the start of the phase
    losses: Mapping[str, float]  # total, content, style, tv: weighted, as they enter the total
    saved: Mapping[str, float] = field(default_factory=dict)  # of SAVED_IMAGE, at snapshots
