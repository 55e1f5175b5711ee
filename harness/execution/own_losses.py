"""Evaluate a method's objective on the saved image, beside the raw pixels that it returned.

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

NOTABLE_RATIO = 2.0
"""The record has a note if the style loss of the saved image is so many times that of the raw
pixels."""


@dataclass(frozen=True)
class OwnLosses:
    """Weighted losses by name, in the method's own objective."""

    saved: Losses  # of the saved image
    raw: Losses  # of the pixels that the method returned
    snapshots: Mapping[int, Losses]  # of the snapshots as they would be saved, by step
    outside: float  # share of pixels outside [0, 1] before clamping

    @property
    def notes(self) -> Iterator[str]:
        """Notes for the record, if clamping and rounding cost much of the style."""
        saved, raw = self.saved.get("style", 0.0), self.raw.get("style", 0.0)
        if raw > 0 and saved >= NOTABLE_RATIO * raw:
            yield (
                f"The saved image has {saved / raw:.3g} times the style loss of the raw pixels: "
                f"{self.outside:.0%} of its pixels lay outside [0, 1] and were clamped."
            )

    def add_to(self, trace: Sequence[TracePoint]) -> list[TracePoint]:
        """Return a stylization's trace with the saved losses at its snapshots and last point."""
        saved = dict(self.snapshots)
        if trace:
            saved[trace[-1].index] = self.saved
        return [replace(point, saved=saved.get(point.index, {})) for point in trace]


def evaluate(
    objective: Objective, raw: Image, pixels: Pixels, snapshots: Mapping[int, Pixels]
) -> OwnLosses:
    """Evaluate a method's objective on the raw pixels, the saved image and the snapshots.

    Args:
        objective: Of the method, for the content.
        raw: The image that the method returned, (1, 3, H, W).
        pixels: The same image as it is saved.
        snapshots: Images of earlier steps; those of smaller scales are left out.
    """

    def losses_of(image: Pixels) -> Losses:
        return objective(to_tensor(image).to(raw.device))

    return OwnLosses(
        saved=losses_of(pixels),
        raw=objective(raw),
        snapshots={
            step: losses_of(image)
            for step, image in snapshots.items()
            if image.shape == pixels.shape
        },
        outside=share_outside(raw),
    )


def total(losses: Losses) -> float | None:
    """Return the total loss, or None if it is absent or not finite."""
    loss = losses.get("total", math.nan)
    return loss if math.isfinite(loss) else None
