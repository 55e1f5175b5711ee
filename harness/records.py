"""The data that stages exchange: frozen, convertible to JSON, without torch.

A Cell is one planned method with its parameters, on one pair, with one seed and size. A Record is
its result. Planned cells and stored records share the ids that this module computes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

SCHEMA = 2
"""Increase it if older code would fail to read a new record, or misread it. `objective` is the loss
of the saved image since schema 2, and that of raw pixels in schema 1."""

Status = Literal[
    "done", "diverged", "failed", "skipped", "out_of_memory", "timeout", "crashed", "interrupted"
]  # fmt: skip
Direction = Literal["lower", "higher", "neither"]
Sign = Literal["lower", "higher", "none"]  # of the second level relative to the first
Control = Literal["", "null", "effect"]

SAVED_IMAGE, RAW_PIXELS = "saved image", "raw pixels"
"""Images that a loss refers to: clamped and rounded to 8 bits, or as the method returned them. A
loss of one is not comparable with a loss of the other."""

BITWISE = "bitwise on this machine"  # prefix of environment["deterministic"] of exact results
RECIPES = ("method", "variant")  # factors whose levels may differ in several parameters
SNAPSHOT_EDGE = 256  # long edge of intermediate images, pixels


@dataclass(frozen=True)
class ImageUse:
    """An image as used, and its origin."""

    name: str
    sha256: str  # of the file's bytes, or of the pixels of a painted study
    origin: str  # "scikit-image", a URL, a file name, "painted by nstbench"
    title: str = ""
    artist: str = ""
    year: int | None = None
    rights: str = ""
    width: int = 0  # of the file, upright
    height: int = 0
    stand_in: str | None = None  # the study or photograph that replaces the image
    why_stand_in: str = ""


@dataclass(frozen=True)
class EncoderUse:
    """The frozen loss network of a run, and the origin of its weights."""

    name: str
    sha256: str  # of the weights' file, or of the recipe of random weights
    origin: str
    warning: str = ""  # why it replaces the requested encoder
    layers: tuple[str, ...] = ()  # all available layers, in order of depth


@dataclass(frozen=True)
class TrainingUse:
    """The photographs that a method trains on."""

    origin: str
    count: int
    sha256: str  # over the sorted hashes of the files


@dataclass(frozen=True, eq=False)
class Cell:
    """One unit of work. `components` determine its id; other fields are descriptive."""

    suite: str
    variant: str  # "gatys[adam]": label and distinguishing levels
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
    anchor: bool = False  # a reference point, not compared with the other methods
    style_size: int | None = None  # long edge of the style that the method learns, unless `size`

    @cached_property
    def components(self) -> dict[str, Any]:
        """The values that determine the id; stored with it, to explain changes."""
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
        } | ({"style_size": self.style_size} if self.style_size else {})

    @cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 over the components' canonical JSON."""
        return digest(self.components)

    @cached_property
    def fit_id(self) -> str:
        """Like `id`, but without the content. Cells with equal `fit_id` share a fitted stylizer."""
        return digest({k: v for k, v in self.components.items() if k != "content"})

    @property
    def pair(self) -> str:
        """Name of the content and style together, safe in file names and MLflow keys."""
        return f"{self.content.name}--{self.style.name}"

    @property
    def name(self) -> str:
        """Readable name of the cell: `gatys[adam]/coffee--starry-night/s0`."""
        size = f"/{self.size}px" if "size" in self.levels else ""
        return f"{self.variant}/{self.pair}{size}/s{self.seed}"


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
    peak_of: str  # "gpu" (allocated tensors) or "process" (resident memory)
    load: float | None = None  # load average at the start of the cell
    noisy: str = ""  # what disturbed the measurement; then times are unreliable
    shared_by: int = 1  # cells in one batch; each gets an equal share of its seconds
    calibration_ms: float | None = None  # of a calibration pass at this size, before the run

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
    timing: Timing | None = None
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


def digest(components: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 over canonical JSON."""
    canonical = json.dumps(components, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Skip:
    """A planned cell that does not run, and the reason."""

    name: str
    variant: str
    pair: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """A statement to test: it compares two levels of one factor, with all else equal."""

    id: str
    statement: str
    factor: str  # a parameter of the method, or encoder, method, seed, size or variant
    levels: tuple[Any, Any]
    metric: str  # decides the verdict
    predicts: Sign  # effect of the second level, relative to the first
    method: str = ""  # the suite's label; empty to compare methods or variants
    source: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)  # fixed parameters
    across: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # tests an interaction
    tuned: str = ""  # parameter whose best value is used for each level
    also: tuple[str, ...] = ()  # secondary metrics
    smallest: float | None = None  # smallest effect of interest; default: the metric's
    control: Control = ""  # an effect that must be absent, or present


@dataclass(frozen=True)
class Run:
    """One invocation of a suite and its plan. The page is built from it."""

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
    warnings: tuple[str, ...] = ()  # stand-ins, missing weights; also shown on the page
    command: str = ""
    started: str = ""
    seconds: float = 0.0
    reused: int = 0  # cells with an existing record
    environment: Mapping[str, str] = field(default_factory=dict)
    calibrations: tuple[Calibration, ...] = ()  # of the sizes that ran
    claims: tuple[Claim, ...] = ()
    tracking: str = ""  # the MLflow tracking URI, empty without tracking
    finished: bool = False

    @property
    def aim(self) -> tuple[Any, ...]:
        """The goal of the run: runs with equal goals have the same results."""
        return (self.cells, self.skipped, self.metrics, self.claims, self.encoder)

    @cached_property
    def plan_id(self) -> str:
        """Id of all its cells, like `Cell.id` of one."""
        return digest({"cells": self.cells})
