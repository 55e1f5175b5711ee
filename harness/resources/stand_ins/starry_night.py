"""After van Gogh 1889: short thick strokes in vortices; deep blues, yellow halos."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas
from harness.resources.stand_ins._motifs import cypress, vortex_flow
from harness.resources.stand_ins._palette import TAU, Array, parse_table, unit_vectors


def draw(c: Canvas) -> None:
    """Paint the sky, the bright centres of the stars, the hills, a village and the cypress."""
    c.prime("14254f")
    stars = parse_table(".05 .1 .07  .3 .07 .06  .42 .2 .05  .55 .1 .06  .7 .22 .06  .1 .42 .05", 3)
    stars = np.concatenate(
        [stars, parse_table(".3 .5 .1  .73 .04 .04  .9 .17 .14", 3)]
    )  # the last is the moon
    vortices = np.concatenate([stars * (1, 1, 1.5), np.full((len(stars), 1), 3)], 1)
    vortices = np.concatenate([vortices, parse_table(".5 .36 .2 2.2  .66 .46 .13 -2.2", 4)])
    wander, tone = c.noise(0.5), c.noise(0.12)
    flow = vortex_flow(c, vortices, lambda p: 0.5 * wander(p) + 0.1)

    def glow(p: Array) -> Any:
        distances = [np.hypot(*(p - c.extent * (u, v)).T) / r for u, v, r in stars]
        return np.max([np.exp(-(d**2)) * (0.85 + 0.15 * np.cos(7 * d)) for d in distances], 0)

    blues, golds = "0d1b4c 1c3f86 2d62a8 5b95bd a9cdc4 e4e4b8", "7fa9a0 d3cc7c e9bf3c f6d657 fff3b4"
    for coat in (".03 .035 .12", ".012 .013 .075", ".03 .007 .06"):
        c.brush(coat, blues, lambda p: 0.43 + 0.32 * tone(p), flow, tone_noise=0.16)
        c.brush(coat, golds, lambda p: 1.3 * glow(p) - 0.2, flow, lambda p: glow(p) - 0.27)
    for u, v, r in stars:
        core, colour = 0.12 * r * unit_vectors(np.linspace(0, TAU, 24)), "fff6c4"
        if r > 0.13:  # the moon, a crescent
            core, colour = 0.38 * r * unit_vectors(np.linspace(-1.3, 1.5, 24)), "f4b62e"
        c.draw_strokes(c.extent * (u, v) + core, 0.28 * r, colour, taper=2)

    def ridge(p: Array) -> Any:
        u, v = c.uv(p)
        return v - 0.72 + 0.1 * u**2 + 0.025 * np.sin(11 * u)

    def furrows(p: Array) -> Any:
        return 0.4 + 0.3 * np.sin(45 * ridge(p))

    def hill_flow(p: Array) -> Any:
        return 0.5 * wander(1.7 * p) - 0.15

    hills = "0b1430 15305f 2b5583 3f7a78 86a878"
    c.brush(".02 .026 .1  .012 .01 .07", hills, furrows, hill_flow, ridge, tone_noise=0.2)
    for place in c.extent * c.rng.uniform((0.3, 0.86), (1.0, 0.97), (24, 2)):
        house(c, place, c.rng.uniform(0.02, 0.04, 2))
    cypress(c, 0.17, 0.08, 0.11, "080f12 14261f 26402c 5a5a30")


def house(c: Canvas, place: Array, size: Array) -> None:
    """Paint a gable, a roof and a lit window with dark outlines."""
    wall = place + parse_table("-1 0  -1 -1  0 -2  1 -1  1 0") * size
    c.fill_polygon(wall, "14264c 35578a 6b86a0 4a6a5a")
    c.fill_polygon(wall[1:4], "22324f 8a6a3a 3a4a80")
    c.draw_strokes(np.stack([wall[:-1], wall[1:]], 1), 0.008, "0a1026", dry=0.5)
    c.draw_strokes(place + parse_table("-.4 -.45  .2 -.45") * size, 0.013, "f6c93d", dry=0)
