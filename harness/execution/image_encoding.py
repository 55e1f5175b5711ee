"""Pixels -> files, wherever there is time for it: not where a cell runs."""

from __future__ import annotations

from harness.execution import snapshots
from harness.execution.jobs import Encoded, Outcome
from harness.resources.images import to_png


def encoded(outcome: Outcome) -> Encoded:
    """Return the images of an outcome as they are kept."""
    png = None if outcome.pixels is None else to_png(outcome.pixels)
    webps = {step: snapshots.encode(pixels) for step, pixels in outcome.snapshots.items()}
    return Encoded(png, webps)
