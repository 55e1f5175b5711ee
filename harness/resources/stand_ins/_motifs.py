"""Shared parts of studies: direction fields of strokes, and a cypress."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas
from harness.resources.stand_ins._palette import Array, Field


def constant(value: float) -> Field:
    """Return the field with the same `value` everywhere."""
    return lambda p: np.full(len(p), value)


def contour_flow(field: Field) -> Field:
    """Return the flow along the level lines of `field`."""

    def flow(p: Array) -> Any:
        east, south = (field(p + d) - field(p - d) for d in 1e-3 * np.eye(2))
        return np.arctan2(-east, south)

    return flow


def vortex_flow(c: Canvas, centres: Array, drift: Field) -> Field:
    """Return the flow `drift` with vortices about `centres`: rows of u, v, radius, strength."""

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


def cypress(c: Canvas, u: float, top: float, half_width: float, stops: str) -> None:
    """Paint a flame-shaped tree from the lower edge at `u` up to `top`, from dark to light."""
    waver, lean = c.noise(0.16), c.noise(0.3)

    def offset(p: Array) -> Any:  # horizontal, from the trunk, in half widths
        return (p[:, 0] - u * c.extent[0]) / half_width

    def within(p: Array) -> Any:
        v = c.uv(p)[1]
        rise = np.clip((v - top) / (1.02 - top), 0, 1)
        return rise**0.7 * (1 + 0.3 * np.sin(14 * v + 3 * lean(p))) - np.abs(offset(p))

    def flow(p: Array) -> Any:
        return 0.9 * waver(p) - 0.8 * offset(p) - np.pi / 2

    coats = (".012 .03 .1", 0.0), (".009 .01 .1", 0.4), (".014 .006 .08", 0.8)
    for coat, tone in coats:
        c.brush(coat, stops, constant(tone), flow, within, steps=6, taper=2)
