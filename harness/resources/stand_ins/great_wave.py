"""After Hokusai 1831: flat bands of Prussian blue, fine dark outlines, claw-shaped foam."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas, StrokeOptions
from harness.resources.stand_ins._motifs import constant
from harness.resources.stand_ins._palette import (
    Array,
    parse_table,
    ramp,
    smooth_curve,
    unit_vectors,
)

BLUES, FOAM, INK = "16284f 1f3d73 2f5a8f 7fa3b8 c9d4cc", "f3ecd8", "131d36"
FLAT: StrokeOptions = {"body": 0.3, "bristle": 0.12}


def draw(c: Canvas) -> None:
    """Paint the sky, the mountain, three waves from far to near, the foam and the wood grain."""
    c.prime("d9c9a3", light=0.015, weave=0.03)
    wander = c.noise(0.5)

    def sky_tone(p: Array) -> Any:
        return 0.9 - 0.8 * c.uv(p)[1] + 0.25 * wander(p)

    sky, block = "857c70 a39a84 c2b48e d9c79c e3d5b0", ".042 .05 .6  .013 .008 .5  .01 .004 .3"
    c.brush(block, sky, sky_tone, lambda p: 0.25 * wander(p), steps=6, dry=0.7, **FLAT)
    fuji = c.extent * smooth_curve(
        parse_table(".48 .78  .6 .68  .635 .6  .665 .6  .7 .68  .84 .78"), 2
    )
    c.fill_polygon(fuji, "3f5f86")
    c.fill_polygon(fuji[7:16], FOAM)
    c.draw_strokes(fuji, 0.006, INK, dry=0.2)
    back = parse_table("-.1 .5  .05 .3  .17 .13  .33 .04  .48 .1  .57 .25  .56 .38")
    face = parse_table("-.1 1  .3 .9  .36 .7  .3 .5  .33 .32  .45 .26  .56 .38")
    low = parse_table("-.1 1.02  .3 .95  .5 .8  .7 .83  .9 .62  1.1 .55")
    near = parse_table("-.1 1  .1 .85  .2 .7  .32 .86  .55 1.02")
    sheet(c, back, face, 14)
    sheet(c, low, low + np.array([0, 0.5]), 16)
    claws(c, back[1:], 40, 0.13)
    claws(c, low[2:], 22, 0.08)
    sheet(c, near, near + np.array([0, 0.35]), 12)
    claws(c, near[1:4], 10, 0.06)
    drops = c.extent * np.clip(c.rng.normal((0.5, 0.3), 0.17, (160, 2)), 0, 1)
    c.draw_strokes(c.streamlines(drops, wander, 0.008, 2), 0.008, FOAM, dry=0, taper=2)
    c.overpaint(".011 .004 .03", constant(0.1), 0.06, opacity=0.5, dry=0.8, body=0.3)


def sheet(c: Canvas, back: Array, face: Array, bands: int) -> None:
    """Paint the water between two lines in outlined bands parallel to them."""
    ends = [c.extent * smooth_curve(edge) for edge in (back, face)]
    ends = [edge[np.linspace(0, len(edge) - 1, 60).astype(int)] for edge in ends]
    c.fill_polygon(np.concatenate([ends[0], ends[1][::-1]]), ramp(BLUES, 0.2))
    mix = np.linspace(0, 1, bands)[:, None, None]
    paths = ends[0] * (1 - mix) + ends[1] * mix + c.rng.normal(0, 0.001, (bands, 60, 2))
    gap = np.hypot(*(ends[1] - ends[0]).T).mean() / bands
    tones = np.resize([0.1, 0.75, 0.3, 1.0, 0.2, 0.5], bands)
    c.draw_strokes(paths, 0.7 * gap, c.jitter(ramp(BLUES, tones), 0.02), dry=0.4, **FLAT)
    c.draw_strokes(paths, 0.005, INK, dry=0.2, body=0.3)


def claws(c: Canvas, edge: Array, count: int, size: float) -> None:
    """Paint outlined hooks of foam along the upper side of a line."""
    path = c.extent * smooth_curve(edge)
    for _ in range(3):
        at = np.sort(c.rng.integers(0, len(path) - 1, count))
        out = np.arctan2(*(path[at + 1] - path[at]).T[::-1]) + c.rng.normal(-1.57, 0.5, count)
        angle = out[:, None] + c.rng.uniform(0.8, 2.6, (count, 1)) * np.linspace(-0.4, 1, 9)
        length = size * c.rng.uniform(0.4, 1, count)
        paths = path[at][:, None] + np.cumsum(unit_vectors(angle) * length[:, None, None] / 9, 1)
        for width, colour in ((0.42, INK), (0.3, FOAM), (0.08, "8fb0c0")):
            c.draw_strokes(paths, width * length, colour, dry=0.05, body=0.3, taper=2)
