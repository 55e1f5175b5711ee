"""One invocation of a suite, and the claims that it tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from harness.records.cell import EncoderUse, TrainingUse, digest
from harness.records.record import Calibration

Sign = Literal["lower", "higher", "none"]  # of the second level relative to the first
Control = Literal["", "null", "effect"]

RECIPES = ("method", "variant")  # factors whose levels may differ in several parameters


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
