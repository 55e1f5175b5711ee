"""After Munch 1893: long wavy bands; an orange sky over a blue-black fjord; a straight bridge."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.resources.stand_ins._canvas import Canvas, StrokeOptions
from harness.resources.stand_ins._motifs import constant, contour_flow
from harness.resources.stand_ins._palette import Array, Field, parse_table

LONG: StrokeOptions = {"tone_noise": 0.09, "steps": 10, "dry": 0.5, "taper": 2}
FIGURE = (  # half widths by height, horizontal offset, palette: coat, head, eyes, mouth
    (".03 .6  .045 .66  .1 .7  .12 .78  .1 .9  .13 1.1", 0.0, "0f1219 1f2836 33404f 4a4238"),
    (".02 .44  .065 .47  .075 .52  .055 .58  .035 .64  .02 .65", 0.0, "a88a52 d3b473 ecd9a4"),
    (".02 .51  .02 .53", -0.03, "3a2a20"),
    (".02 .51  .02 .53", 0.03, "3a2a20"),
    (".012 .575  .015 .61", 0.0, "3a2a20"),
)


def draw(c: Canvas) -> None:
    """Paint the sky and the fjord in bands, then the bridge and the figure."""
    c.prime("c96a2e")
    wave, tone = c.noise(0.5), c.noise(0.2)

    def sky(p: Array) -> Any:
        u, v = c.uv(p)
        return v + 0.03 * np.sin(9 * u + 5 * v) + 0.04 * wave(p)

    def fjord(p: Array) -> Any:  # bands are horizontal at the left and vertical at the right
        u, v = c.uv(p)
        bend = 1 / (1 + np.exp(-14 * (u - 0.62 + 0.1 * np.sin(9 * v))))
        return (1 - bend) * v + bend * (1.2 - 0.8 * u) + 0.05 * wave(1.5 * p)

    def bands(field: Field) -> Field:
        return lambda p: (9 * field(p)) % 1 * 0.8 + 0.2 * tone(p)

    reds = "8c2a1c c4401f e2702a efa03a f3c65a d9542a 7d8a6a e88b33"
    blues = "0d1526 1d2f4f 2f4f6f 56706a 8c8a52 1a2233 3a3a5a b08f4a"
    coats = ".055 .035 .4  .026 .014 .4  .014 .006 .3"
    c.brush(coats, reds, bands(sky), contour_flow(sky), lambda p: 0.42 - sky(p), **LONG)
    c.brush(coats, blues, bands(fjord), contour_flow(fjord), lambda p: sky(p) - 0.38, **LONG)
    bridge(c)
    figure(c, lambda p: 0.5 + 0.5 * tone(2 * p))


def bridge(c: Canvas) -> None:
    """Paint the planks and the three rails of the bridge."""

    def deck(p: Array) -> Any:  # positive below the upper rail
        u, v = c.uv(p)
        return v - 0.59 - 0.5 * u

    def boards(p: Array) -> Any:
        return 0.45 + 0.3 * np.sin(60 * deck(p))

    planks, slope = "3a1f1a 6b3523 93532f b57a48 6f7f78 c79a62", c.extent[1] / c.extent[0] / 2
    along = constant(np.arctan(slope))
    c.brush(".044 .04 .4  .02 .014 .3", planks, boards, along, deck, tone_noise=0.2, dry=0.6)
    for drop in (0.0, 0.09, 0.2):
        rail = c.extent * np.linspace((-0.05, 0.535 + drop), (1.05, 1.085 + drop), 12)
        for colour, width in (("2a1512", 0.026), ("9c5a30", 0.01)):
            c.draw_strokes(rail, width, colour, dry=0.4, taper=20)


def figure(c: Canvas, tone: Field) -> None:
    """Paint the parts of `FIGURE` along a wavy vertical axis."""

    def axis_offset(p: Array) -> Any:  # positive to the right of the axis
        return p[:, 0] - 0.6 * c.extent[0] - 0.03 * np.sin(14 * c.uv(p)[1])

    def inside(outline: str, offset: float) -> Field:
        half_width, height = parse_table(outline).T
        return lambda p: (
            np.interp(c.uv(p)[1], height, half_width, -1, -1) - np.abs(axis_offset(p) - offset)
        )

    flow = contour_flow(axis_offset)
    for outline, offset, stops in FIGURE:
        within = inside(outline, offset)
        c.brush(".007 .011 .04", stops, tone, flow, within, tone_noise=0.25, dry=0.1)
