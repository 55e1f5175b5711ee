"""After Monet 1906: soft horizontal dabs on vertical reflections; violet, blue, green."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas, StrokeOptions
from harness.resources.stand_ins._palette import Array, parse_table, ramp

SOFT: StrokeOptions = {"opacity": 0.75, "dry": 0.6, "soft": 0.6, "body": 0.6}


def draw(c: Canvas) -> None:
    """Paint the water in vertical, then horizontal strokes; add beds of lily pads and flowers."""
    c.prime("6f86a8", light=0.03)
    depth, hue, wander = c.noise(0.5), c.noise(0.35), c.noise(0.2)

    def tone(p: Array) -> Any:
        return 0.45 + 0.5 * depth(p * (1.6, 0.6))

    def ripples(p: Array) -> Any:
        return 0.25 * wander(p)

    water = "2f4a6e 3f6f7a 5b8f83 86a9b8 9a92c4 b9a8cf d7cfe0"
    c.brush(".05 .06 .3  .035 .03 .22", water, tone, lambda p: ripples(p) + np.pi / 2, **SOFT)
    c.brush(".026 .024 .1", water, tone, ripples, **SOFT)

    greens = ("1b3a48 24504f 3a4f70", 0.006, 1.0), ("2f6a4f 5b945f 8fb478 c3d3a4 9a8fb4", 0, 0.85)
    beds = parse_table(
        ".22 .2 .16  .68 .12 .2  .45 .42 .2  .87 .5 .18  .15 .66 .26  .62 .82 .32", 3
    )
    for u, v, size in beds:
        count = int(900 * size)
        pads = c.rng.normal(0, 0.5, (count, 2)) * (1.5 * size, 0.32 * size) + c.extent * (u, v)
        pads, lengths = pads[np.argsort(pads[:, 1])], c.rng.uniform(0.03, 0.09, count) * (0.5 + v)
        t = 0.4 + 0.4 * hue(pads) + c.rng.normal(0, 0.2, count)
        for stops, drop, part in greens:  # the shadows, then the pads
            paths = c.streamlines(
                pads + np.array([0, drop]), lambda p: 0.5 * ripples(p), lengths * part, 8
            )
            colours = c.jitter(ramp(stops, t), 0.03)
            c.draw_strokes(paths, 0.42 * part * lengths, colours, soft=0.45, dry=0.55, taper=2)
        spots = c.rng.normal(0, 0.4, (count // 12, 2)) * (1.2 * size, 0.28 * size)
        hearts = np.repeat(c.extent * (u, v) + spots, 6, 0)
        petals = hearts + c.rng.normal(0, 0.008, hearts.shape)
        paths = c.streamlines(petals, lambda p: 9 * wander(5 * p), 0.022)
        c.draw_strokes(paths, 0.012, "c2567f e79ab0 f6cfd6 fff6ee", soft=0.4, taper=2)
