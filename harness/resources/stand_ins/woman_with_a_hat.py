"""After Matisse 1905: broad patches of pure, contrasting colours with gaps of bare canvas."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas
from harness.resources.stand_ins._palette import Array, parse_table, ramp, smooth_curve

REGIONS = (  # u, v, half width, half height, stroke width, colours: from the ground to the hat
    (0.5, 0.5, 9, 9, 0.085, "3f9a72 8cc6a0 e58fae c98ac4 f0b23e e9d9a0 5f8fc4 d9573f 9fd0c0"),
    (0.5, 1.02, 0.43, 0.36, 0.07, "1f4f8c 2f7f5f e0508a 7a3f96 f08a3a 1f2f5a 3fae8a d43a4a"),
    (0.5, 0.68, 0.09, 0.14, 0.04, "e8862e d94f2a f2c14e"),
    (0.5, 0.44, 0.22, 0.22, 0.05, "b5452a d9602e 7a2f3a"),
    (0.5, 0.46, 0.16, 0.2, 0.04, "f2b8a8 f5d9a0 5fae7f e8829a f7e6c6 8fc79a f0c4b4"),
    (0.48, 0.19, 0.38, 0.14, 0.06, "2b2f7a 1f7f8c 7a3f9a d93f5a 2f7f4f f0a0b8 1a1f3a f07a2a"),
)
LINES = (  # eyes, nose, mouth
    ("-.09 -.05  -.055 -.07  -.02 -.045", "1f2f5a"),
    (".03 -.045  .06 -.07  .1 -.05", "1f2f5a"),
    (".005 -.05  -.01 .03  .02 .04", "2f7f5f"),
    ("-.04 .09  0 .075  .05 .09", "b0243a"),
)


def draw(c: Canvas) -> None:
    """Paint each region in large, then smaller patches, and at last the lines of the face."""
    c.prime("e9dcc0", light=0.07)
    turn, patch, edge = c.noise(0.5), c.noise(0.22), c.noise(0.12)

    def flow(p: Array) -> Any:
        return 2.5 * np.round(2 * turn(p)) + 0.7 * turn(2 * p)

    for u, v, across, tall, full, stops in REGIONS:
        tints = ramp(stops, np.linspace(0, 1, len(stops.split())))
        for width, tone_noise in ((full, 0.1), (0.6 * full, 0.17)):
            p = c.scatter(0.7 * width)
            x, y = ((p - c.extent * (u, v)) / (across, tall * c.extent[1])).T
            p = p[x**2 + y**2 < 1 + 0.3 * edge(p)]
            t = 0.5 + 0.8 * patch(1.1 * p) + c.rng.normal(0, tone_noise, len(p))
            colours = c.jitter(tints[np.clip(t * len(tints), 0, len(tints) - 1).astype(int)], 0.03)
            paths = c.streamlines(p, flow, 2.4 * width)
            c.draw_strokes(paths, width, colours, dry=0.7, bristle=0.16, taper=12)
    for line, colour in LINES:
        path = c.extent * (0.5, 0.46) + smooth_curve(parse_table(line), 3)
        c.draw_strokes(path, 0.02, colour, dry=0.7)
