"""After van Gogh 1889: waving golden wheat below curling turquoise clouds."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas
from harness.resources.stand_ins._motifs import cypress, vortex_flow
from harness.resources.stand_ins._palette import Array, parse_table


def draw(c: Canvas) -> None:
    """Paint the clouds, the hills with bushes, the wheat and two cypresses."""
    c.prime("c9a24a")
    tone, wander, clump = c.noise(0.2), c.noise(0.4), c.noise(0.1)

    def depth(p: Array) -> Any:  # > 0 below the horizon
        u, v = c.uv(p)
        return v - 0.58 - 0.03 * np.sin(7 * u) + 0.05 * np.exp(-(((u - 0.35) / 0.2) ** 2))

    def light(p: Array) -> Any:
        return 0.5 + 0.6 * tone(p)

    vortices = parse_table(".2 .16 .17 3  .47 .3 .17 -3  .62 .1 .17 3  .33 .4 .12 2.5", 4)
    vortices = np.concatenate([vortices, parse_table(".9 .3 .14 -3  .03 .36 .1 -2", 4)])
    curl = vortex_flow(c, vortices, lambda p: 0.6 * wander(p))
    sky, coats = "4f9fb0 7cc0c0 a5d6cb d5e8da f4f3e4 cfd9ea", ".034 .045 .13  .02 .02 .12"
    c.brush(coats + " .03 .009 .1", sky, light, curl, lambda p: 0.05 - depth(p), steps=6)

    def hills(p: Array) -> Any:
        return np.minimum(depth(p) + 0.06 + 0.03 * wander(p), 0.1 - depth(p))

    def shade(p: Array) -> Any:
        return 5 * (depth(p) + 0.07) + 0.3 * clump(p)

    bushes = "5d7fb4 4a6f9c 3f7a55 5c8f3f 8aa446 2f5a3a"
    c.brush(".016 .022 .06  .012 .01 .05", bushes, shade, lambda p: 5 * clump(p), hills)

    def field(p: Array) -> Any:
        return depth(p) - 0.05 - 0.02 * wander(p)

    def wave(p: Array) -> Any:
        return 0.9 * wander(1.5 * p) + 0.5 * clump(p) - 1

    gold, coats = "8a6a1e c08a24 dba531 ecc251 f5dd85", ".02 .026 .1  .012 .011 .085  .02 .005 .09"
    c.brush(coats, gold, light, wave, field, tone_noise=0.2, taper=2.5)
    for u, top, half_width in ((0.85, 0.06, 0.12), (0.76, 0.42, 0.05)):
        cypress(c, u, top, half_width, "10231a 1d3d27 35592f 6d7f3a")
