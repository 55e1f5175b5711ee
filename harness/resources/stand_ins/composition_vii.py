"""After Kandinsky 1913: arcs, blots, combs and lines of all scales, in vivid colours on cream."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas, StrokeOptions
from harness.resources.stand_ins._palette import TAU, Array, unit_vectors

CREAM, INK = "f6eed8 efdcae e8c9a0 cfd8cf f3e6c0", "141318 2a2233 7a1f22 1f3a7a"
VIVID = "d8342b f08a24 f5c52e 3f9a52 1f6fb5 2b3a8c 8a3f96 e67fa0 5fb6c4 7a2f22 1c1a20"
THIN: StrokeOptions = {"opacity": 0.85, "dry": 0.6, "soft": 0.4}


def draw(c: Canvas) -> None:
    """Paint a cream ground with coloured patches, then three layers of marks of all sizes."""
    c.prime("efe3c6")
    patch, wander = c.noise(0.25), c.noise(0.4)

    def flow(p: Array) -> Any:
        return 4 * wander(p)

    def hue(p: Array) -> Any:
        return 0.45 + 0.55 * wander(1.6 * p)

    coats = ".08 .1 .2  .03 .04 .14  .016 .02 .08"
    c.brush(coats, CREAM, lambda p: 0.5 + 0.5 * wander(p), flow, **THIN)
    c.brush(coats, VIVID, hue, flow, lambda p: patch(p) - 0.05, tone_noise=0.05, **THIN)
    for _ in range(3):
        arcs(c, 22, 0.17, 0.11, VIVID, 0.8)
        arcs(c, 30, 0.35, 0.03, VIVID, 1.2)
        arcs(c, 24, 0.4, 0.007, INK, 0.6)
        for place in c.rng.uniform(0.05, 0.95, (6, 2)):
            comb(c, c.extent * place)
        arcs(c, 60, 0.06, 0.02, VIVID, 0.9)
    arcs(c, 30, 0.22, 0.006, INK, 0.9)


def arcs(c: Canvas, count: int, size: float, width: float, stops: str, bend: float) -> None:
    """Paint `count` arcs of about the given size and width, most of them near the centre."""
    start = c.extent * np.clip(c.rng.normal(0.5, 0.3, (count, 2)), -0.05, 1.05)
    turn, curl = c.rng.uniform(0, TAU, (count, 1)), c.rng.normal(0, bend, (count, 1))
    step = unit_vectors(turn + curl * np.linspace(-1, 1, 16)) * size / 16
    paths = start[:, None] + np.cumsum(step * c.rng.uniform(0.4, 1, (count, 1, 1)), 1)
    c.draw_strokes(paths, width * c.rng.uniform(0.4, 1.2, count), stops, taper=3)
    if width > 0.02:  # a dark contour on one side
        c.draw_strokes(paths + 0.4 * width, 0.006, INK)


def comb(c: Canvas, place: Array) -> None:
    """Paint a row of 5 to 8 parallel short strokes."""
    across, along = c.rng.normal(0, (0.17, 0.05), (2, 2)).T
    starts = place + np.linspace(0, 1, c.rng.integers(5, 9))[:, None] * across
    bars = starts[:, None] + np.linspace(-1, 1, 5)[:, None] * along
    c.draw_strokes(bars, 0.012, VIVID, taper=10)
