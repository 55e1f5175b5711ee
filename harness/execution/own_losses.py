"""A method's own losses of what is saved, beside those of the raw pixels that it returned.

Pixels of an optimised image may leave [0, 1]; they are clamped and rounded to 8 bits when the image
is saved. The loss that counts is that of the saved image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.metrics.gamut import share_outside
from harness.protocols import Image, Objective
from harness.records import TracePoint
from harness.resources.images import to_tensor

Losses: TypeAlias = Mapping[str, float]
Pixels: TypeAlias = NDArray[np.uint8]

NOTABLE = 2.0
"""From this ratio of the saved image's style loss to the raw pixels' on, the record has a note."""


@dataclass(frozen=True)
class OwnLosses:
    """Losses by name, weighted, in the method's own objective."""

    saved: Losses  # of the image as it is saved
    raw: Losses  # of the pixels that the method returned
    snapshots: Mapping[int, Losses]  # of the images on the way as they would be saved, by step
    outside: float  # share of pixels outside [0, 1] before clamping

    @property
    def notes(self) -> Iterator[str]:
        """Say where clamping and rounding cost much of the style."""
        saved, raw = self.saved.get("style", 0.0), self.raw.get("style", 0.0)
        if raw > 0 and saved >= NOTABLE * raw:
            yield (
                f"The saved image has {saved / raw:.3g} times the style loss of the raw pixels: "
                f"{self.outside:.0%} of its pixels lay outside [0, 1] and were clamped."
            )

    def on(self, trace: Sequence[TracePoint]) -> list[TracePoint]:
        """Return the points of a stylization with the saved losses at snapshots and at the end."""
        found = dict(self.snapshots)
        if trace:
            found[trace[-1].index] = self.saved
        return [replace(point, saved=found.get(point.index, {})) for point in trace]


def evaluate(
    objective: Objective, raw: Image, pixels: Pixels, snapshots: Mapping[int, Pixels]
) -> OwnLosses:
    """Evaluate a method's objective on what it returned and on what is saved of it.

    Args:
        objective: Of the method, for the content.
        raw: What the method returned, (1, 3, H, W).
        pixels: The same as it is saved.
        snapshots: Images on the way, by step; those of smaller scales are left out.
    """

    def of(image: Pixels) -> Losses:
        return objective(to_tensor(image).to(raw.device))

    return OwnLosses(
        saved=of(pixels),
        raw=objective(raw),
        snapshots={
            step: of(image) for step, image in snapshots.items() if image.shape == pixels.shape
        },
        outside=share_outside(raw),
    )


def total(losses: Losses) -> float | None:
    """Return the total loss where there is one and it is finite."""
    found = losses.get("total", math.nan)
    return found if math.isfinite(found) else None
