"""Fields that several studies share: directions for strokes to follow."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas
from harness.resources.stand_ins._palette import Array, Field


def steady(value: float) -> Field:
    """Return the field that is `value` everywhere."""
    return lambda p: np.full(len(p), value)


def contour(field: Field) -> Field:
    """Return the flow along the level lines of `field`."""

    def flow(p: Array) -> Any:
        east, south = (field(p + d) - field(p - d) for d in 1e-3 * np.eye(2))
        return np.arctan2(-east, south)

    return flow


def eddies(c: Canvas, centres: Array, drift: Field) -> Field:
    """Return a flow that drifts, and turns about `centres`: rows of u, v, radius, strength."""

    def flow(p: Array) -> Any:
        angle = drift(p)
        east, south = np.cos(angle), np.sin(angle)
        for u, v, radius, strength in centres:
            dx, dy = (p - c.extent * (u, v)).T
            distance = np.hypot(dx, dy) + 1e-6
            pull = strength * np.exp(-((distance / radius) ** 2)) / distance
            east, south = east - pull * (dy + 0.2 * dx), south + pull * (dx - 0.2 * dy)
        return np.arctan2(south, east)

    return flow
