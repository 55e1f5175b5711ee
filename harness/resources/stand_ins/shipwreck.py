"""After Turner 1805: broad soft strokes about a bright storm; brown, grey, cream foam."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas, StrokeOptions
from harness.resources.stand_ins._motifs import contour_flow, vortex_flow
from harness.resources.stand_ins._palette import Array, parse_table, smooth_curve

SOFT: StrokeOptions = {"opacity": 0.8, "soft": 0.75}


def draw(c: Canvas) -> None:
    """Paint the clouds, the sea and the ship, soften the ship with strokes, and add the spray."""
    c.prime("7a6a50", light=0.03)
    tone, wander, chop = c.noise(0.35, 3), c.noise(0.5), c.noise(0.22, 3)
    flow = vortex_flow(
        c, parse_table(".55 .5 .7 1.5  .15 .8 .3 -1.5", 4), lambda p: 1.3 * wander(p) - 0.3
    )

    def brightness(p: Array) -> Any:
        return np.exp(-np.sum(((p - c.extent * (0.38, 0.32)) / (0.36, 0.26)) ** 2, -1))

    def cloud_tone(p: Array) -> Any:
        return 0.25 + 0.85 * brightness(p) + 0.5 * tone(p)

    clouds = "1a1a1f 463a34 5f6670 8d989e b7a98c e2cf9c fdf6e0"
    gusts = ".07 .12 .4  .035 .06 .25  .02 .03 .15"
    c.brush(gusts, clouds, cloud_tone, flow, steps=6, dry=0.5, body=0.5, **SOFT)

    def swell(p: Array) -> Any:
        u, v = c.uv(p)
        return v - 0.06 * np.sin(7 * u + 9 * v) + 0.07 * chop(p)

    def foam(p: Array) -> Any:
        return 0.5 * np.sin(30 * swell(p)) + 0.45 * tone(1.7 * p) + 0.4 * brightness(p)

    def sea_tone(p: Array) -> Any:
        return 0.38 + 0.45 * foam(p)

    sea, along_swell = "12181c 27343a 4a4f46 64797a 97a8a2 d8d6c4 fdf9ec", contour_flow(swell)
    waves = ".05 .07 .3  .025 .035 .2  .018 .016 .12"
    c.brush(waves, sea, sea_tone, along_swell, lambda p: swell(p) - 0.52, steps=6, dry=0.7, **SOFT)

    hull = parse_table(".5 .55  .54 .72  .74 .7  .84 .53  .68 .62  .5 .55")
    sail = parse_table(".51 .3  .53 .48  .64 .5  .63 .27  .51 .3")
    c.fill_polygon(c.extent * smooth_curve(hull), "201611")
    c.fill_polygon(c.extent * smooth_curve(sail), "c9973f", 0.9, 2.0)
    ends = parse_table(".6 .65 .52 .16  .71 .63 .7 .28  .45 .34 .66 .25", 4).reshape(3, 2, 2)
    spars = c.extent * np.linspace(ends[:, 0], ends[:, 1], 5, axis=1)
    c.draw_strokes(spars, 0.012, "1f1611", dry=0.2)
    c.overpaint(".014 .012 .05", flow, 0.04, dry=0.7, **SOFT)

    def crest(p: Array) -> Any:
        return np.minimum(swell(p) - 0.54, foam(p) - 0.2)

    spray = ".012 .014 .06  .014 .005 .03"
    c.brush(spray, sea, lambda p: 0.5 + 0.5 * foam(p), along_swell, crest, dry=0.9, **SOFT)
