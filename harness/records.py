"""The plain data that every stage hands to the next: frozen, JSON in and out, no torch.

A Cell is what is planned: one method with its parameters, on one pair, with one seed and size.
A Record is what came of it. Identity lives here, so that a planned cell and a stored record are
named by the same code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

SCHEMA = 2
"""Raised when yesterday's code cannot read a stored record of today's, or misunderstands it.

2: `objective` is the loss of the saved image; in records of schema 1 it is that of raw pixels.
"""

Status = Literal[
    "done", "diverged", "failed", "skipped", "out_of_memory", "timeout", "crashed", "interrupted"
]  # fmt: skip
Direction = Literal["lower", "higher", "neither"]
Sign = Literal["lower", "higher", "none"]  # predicted of the second level against the first
Control = Literal["", "null", "effect"]

SAVED_IMAGE, RAW_PIXELS = "saved image", "raw pixels"
"""What a loss may be of: the image clamped and rounded to 8 bits, or what the method returned."""

BITWISE = "bitwise on this machine"
"""How a record's `environment["deterministic"]` begins where doing it again gives the same bits."""


SNAPSHOT_EDGE = 256
"""Long edge in pixels of the images kept on the way to a stylized image."""


@dataclass(frozen=True)
class ImageUse:
    """An image as it was really used, and where it came from."""

    name: str
    sha256: str  # of the file's bytes; of the pixels where a study was painted
    origin: str  # "scikit-image", a URL, a file name, "painted by nstbench"
    title: str = ""
    artist: str = ""
    year: int | None = None
    rights: str = ""
    width: int = 0  # of the file, upright
    height: int = 0
    stand_in: str | None = None  # the study or photograph in place of the real image
    why_stand_in: str = ""


@dataclass(frozen=True)
class EncoderUse:
    """The frozen loss network of a run, and where its weights came from."""

    name: str
    sha256: str  # of the weights' file; of the recipe where weights are random
    origin: str
    warning: str = ""  # why this one and not the one that was wanted
    layers: tuple[str, ...] = ()  # all that it can be asked for, in order of depth


@dataclass(frozen=True)
class TrainingUse:
    """The photographs that a method trains on."""

    origin: str
    count: int
    sha256: str  # over the sorted hashes of the files


@dataclass(frozen=True, eq=False)
class Cell:
    """One thing to run. Everything in `components` decides its id; the rest is for reading."""

    suite: str
    variant: str  # "gatys[adam]": the suite's label and the levels that set it apart
    label: str  # "gatys": the suite's label alone
    method: str
    version: int
    params: Mapping[str, Any]
    levels: Mapping[str, Any]  # the axis values of this variant
    content: ImageUse
    style: ImageUse
    size: int  # long edge of content and style, pixels
    seed: int
    encoder: EncoderUse
    precision: str
    device: str  # "cpu", or the GPU's name
    training: TrainingUse | None = None
    files: Mapping[str, str] = field(default_factory=dict)  # parameter -> SHA-256 of its file
    anchor: bool = False  # a reference point, not a contender

    @cached_property
    def components(self) -> dict[str, Any]:
        """What decides the id, by name: stored beside it so that a change can be explained."""
        return {
            "method": self.method,
            "version": self.version,
            "params": {k: v for k, v in self.params.items() if k not in self.files},
            "files": dict(self.files),
            "content": self.content.sha256,
            "style": self.style.sha256,
            "size": self.size,
            "encoder": self.encoder.name,
            "encoder_weights": self.encoder.sha256,
            "training": self.training.sha256 if self.training else None,
            "seed": self.seed,
            "precision": self.precision,
            "device": self.device,
        }

    @cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 over the components' canonical JSON."""
        return digest(self.components)

    @cached_property
    def fit_id(self) -> str:
        """Like `id`, without the content: cells that share it share one fitted stylizer."""
        return digest({k: v for k, v in self.components.items() if k != "content"})

    @property
    def pair(self) -> str:
        """Name of the content and style together, safe in file names and MLflow keys."""
        return f"{self.content.name}--{self.style.name}"

    @property
    def stand_ins(self) -> list[str]:
        """What is in place of its images, where they could not be had."""
        return [image.stand_in for image in (self.content, self.style) if image.stand_in]

    @property
    def name(self) -> str:
        """How a person names the cell: `gatys[adam]/coffee--starry-night/s0`."""
        size = f"/{self.size}px" if "size" in self.levels else ""
        return f"{self.variant}/{self.pair}{size}/s{self.seed}"


@dataclass(frozen=True)
class Score:
    """One measurement of one stylized image; `value` is None where it could not be had."""

    name: str
    value: float | None
    unit: str
    better: Direction
    lens: str  # what it looks through: pixels, squeezenet1_1, alexnet ...
    version: int = 1
    why_missing: str = ""
    lens_sha256: str = ""  # of the weights it looks through


@dataclass(frozen=True)
class Timing:
    """Seconds and memory of a cell; warm-up, synchronisation and metrics are outside the clock."""

    fit_seconds: float
    fit_shared: bool  # the fit served other cells too: its seconds are those of the one fit
    stylize_seconds: float  # median over `repeats`
    repeats: int
    warm_up_seconds: float
    passes: int  # forward + backward runs of the encoder, or training steps
    pass_ms: tuple[float, float, float] | None  # quartiles: 25 %, median, 75 %
    peak_mb: float | None
    peak_of: str  # "gpu" (allocated tensors) or "process" (resident memory)
    load: float | None = None  # the machine's load average when the cell began
    noisy: str = ""  # what disturbed the clock: then the times are no more than a hint
    shared_by: int = 1  # cells that ran in one batch; each is given an even share of its seconds
    calibration_ms: float | None = None  # of the calibration's pass, at this size, before the run

    @property
    def calibrated(self) -> float | None:
        """The stylization in passes of the calibration: a time that compares across machines."""
        if not self.calibration_ms:
            return None
        return 1000 * self.stylize_seconds / self.calibration_ms

    @property
    def total_seconds(self) -> float:
        """Fit and stylize together: what one image costs from nothing."""
        return self.fit_seconds + self.stylize_seconds


@dataclass(frozen=True)
class Calibration:
    """How fast the machine was before and after a run (`execution/machine/calibration.py`)."""

    size: int  # pixels
    before_ms: float
    after_ms: float

    @property
    def drift(self) -> float:
        """By how much the pace changed: 0.05 is five per cent, either way."""
        return abs(self.after_ms - self.before_ms) / min(self.after_ms, self.before_ms)


@dataclass(frozen=True)
class Failure:
    """Why a cell has no result, for a person (`message`) and for a bug report (`traceback`)."""

    kind: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Record:
    """What came of a cell."""

    cell: Cell
    status: Status
    scores: tuple[Score, ...] = ()
    timing: Timing | None = None
    width: int = 0
    height: int = 0
    image_sha256: str = ""  # of the pixels, so that equal images are seen to be equal
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    started: str = ""  # ISO 8601, UTC
    schema: int = SCHEMA
    objective: float | None = None
    """Total loss of the saved image, in the method's own objective.

    Of a method without the hook `objective`, and in records of schema 1, it is the lowest total
    loss of raw pixels; then `objective_raw` is None."""
    objective_raw: float | None = None  # lowest total loss of raw pixels, before clamping
    attempts: tuple[Failure, ...] = ()  # how earlier tries of the same run ended

    @property
    def ok(self) -> bool:
        """True where there is a result to reuse: only finished cells are."""
        return self.status == "done"

    @property
    def objective_of(self) -> str:
        """What `objective` is the loss of; losses of different things do not compare."""
        if self.objective is None:
            return ""
        return RAW_PIXELS if self.objective_raw is None else SAVED_IMAGE

    @property
    def bitwise(self) -> bool:
        """True where it was made so that the same machine gives the same image, bit by bit."""
        return self.environment.get("deterministic", "").startswith(BITWISE)

    def score(self, name: str) -> Score | None:
        """Return the score called `name`, if it was asked for."""
        return next((score for score in self.scores if score.name == name), None)


@dataclass(frozen=True)
class TracePoint:
    """One step of an optimisation or a training, in the method's own objective."""

    phase: Literal["fit", "stylize"]
    index: int
    seconds: float  # since the phase began
    losses: Mapping[str, float]  # total, content, style, tv: weighted, as they enter the total
    saved: Mapping[str, float] = field(default_factory=dict)
    """The same of the image as it is saved, clamped and rounded to 8 bits: at snapshots and at the
    last pass."""


def without_trials(points: Sequence[TracePoint]) -> list[TracePoint]:
    """Leave out trial points of a line search that overshot: no chart should be scaled to them.

    A point is one where its total is above twice the first, and the run ended below the first; a
    run that ended higher keeps its explosion. trace.csv has every point.
    """
    totals = [point.losses.get("total", 0.0) for point in points]
    if not totals or not totals[-1] <= totals[0]:
        return list(points)
    return [p for p, total in zip(points, totals, strict=True) if total <= 2 * totals[0]]


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def digest(components: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 over canonical JSON."""
    return hashlib.sha256(_canonical(components).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Skip:
    """A cell that was planned and will not run, and why."""

    name: str
    variant: str
    pair: str
    reason: str


RECIPES = ("method", "variant")
"""Factors that compare recipes as they stand, whatever they differ in."""


@dataclass(frozen=True)
class Claim:
    """A statement to be tested: two levels of one factor, all else equal.

    Effects are of the second level against the first. A factor is a parameter of the method, or
    one of `encoder`, `method`, `seed`, `size`, `variant`.
    """

    id: str
    statement: str
    factor: str
    levels: tuple[Any, Any]
    metric: str  # the one that decides
    predicts: Sign  # of the second level's metric, against the first's
    method: str = ""  # the suite's label; empty where methods or variants are compared
    source: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)  # parameters that are held
    across: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # asks for an interaction
    tuned: str = ""  # a parameter at whose best value each level is taken
    also: tuple[str, ...] = ()  # metrics that are told besides, and decide nothing
    smallest: float | None = None  # smallest effect of interest; the metric's own unless given
    control: Control = ""  # an effect that must not be found, or one that must


@dataclass(frozen=True)
class Run:
    """One invocation of a suite: what it set out to do, in plan order. The page starts here."""

    suite: str
    description: str
    profile: str
    cells: tuple[str, ...]  # ids, in plan order; pairs and variants appear in this order too
    skipped: tuple[Skip, ...]
    metrics: tuple[str, ...]  # score names, in the suite's order
    encoder: EncoderUse
    device: str
    precision: str
    training: TrainingUse | None = None
    warnings: tuple[str, ...] = ()  # stand-ins, missing weights: said on the page too
    command: str = ""
    started: str = ""
    seconds: float = 0.0
    reused: int = 0  # cells whose record stood already
    environment: Mapping[str, str] = field(default_factory=dict)
    calibrations: tuple[Calibration, ...] = ()  # of the sizes that ran
    claims: tuple[Claim, ...] = ()
    tracking: str = ""  # the MLflow tracking URI, empty without tracking
    finished: bool = False

    @property
    def aim(self) -> tuple[Any, ...]:
        """What it set out to do: runs that agree in this have the same results."""
        return (self.cells, self.skipped, self.metrics, self.claims, self.encoder)

    @cached_property
    def plan_id(self) -> str:
        """Names its cells together as `Cell.id` names one."""
        return digest({"cells": self.cells})
