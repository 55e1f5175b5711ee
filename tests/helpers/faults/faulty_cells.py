"""Jobs for the runner, and a method `faulty` that fails as its parameter says."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from harness import encoders
from harness.errors import Diverged
from harness.execution.jobs import Job, Outcome
from harness.protocols import Method, Step
from harness.records import Cell, ImageUse
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore

ENCODER, _ = encoders.find("random", WeightsStore(Network(offline=True), {}))

FITS: list[str] = []
"""The values of `how` for which `Faulty.fit` was called, in order."""


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Fail in the way that the parameter `how` selects."""

    version: ClassVar[int] = 1
    how: str = "well"

    def fit(self, style: Any, context: Any) -> Any:
        FITS.append(self.how)
        if self.how == "diverges in fit":
            context.on_step(Step(1, 2, {"total": math.inf}))
            raise Diverged(1, None)

        def stylize(content: torch.Tensor, context: Any) -> torch.Tensor:
            if self.how == "raises":
                raise ValueError("no such brush")
            if self.how == "returns nan":
                return content * math.nan
            if self.how == "returns another size":
                return content[..., :-1]
            if self.how == "runs out of memory":
                raise torch.OutOfMemoryError("CUDA out of memory")
            if self.how == "diverges":
                context.on_step(Step(1, 2, {"total": 1.0}))
                raise Diverged(2, content * 0.5)
            if self.how == "warns":
                warnings.warn("mind the varnish", stacklevel=1)
            return content * 2 - 0.25  # out of gamut, so that the runner has to clamp it

        return stylize


def job(how: str, content: str = "c", method: str = "faulty", **params: Any) -> Job:
    """Return a job of `faulty` with the given `how`, or of another method with `params`."""
    images = {name: ImageUse(name, f"sha-{name}", "here") for name in (content, "s")}
    cell = Cell(
        "s", "v", "v", method, 1, {"how": how} if method == "faulty" else params, {},
        images[content], images["s"], 32, 0, ENCODER, "float32", "cpu",
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return Job(cell, pixels, pixels[::-1].copy())


def pixels_of(outcome: Outcome) -> Any:
    """Return the pixels of an outcome that has an image."""
    assert outcome.pixels is not None
    return outcome.pixels
