"""After Picasso 1909-10: translucent facets, shaded from one hard edge; ochre, grey, brown."""

from __future__ import annotations

import numpy as np

from harness.resources.stand_ins._canvas import Canvas, StrokeOptions
from harness.resources.stand_ins._motifs import constant
from harness.resources.stand_ins._palette import TAU, Array, ramp, unit_vectors

TINTS = "14100e 4a331c 86622f b08f50 d6b46c eedaa2 5f655a 9c9f8c d6d0b4"
AXES = np.array([0.1, 0.6, 1.1, np.pi / 2, 2.0, 2.5])  # directions of the edges


def draw(c: Canvas) -> None:
    """Paint the large facets of the room, then the small ones of the sitter, with dark edges."""
    c.prime("a08c6a", light=0.04)
    edges: list[Array] = []
    for k in range(320):
        edges.append(facet(c, figure=k >= 90))
        if k in (110, 200, 280):  # dabs soften the edges
            dabs: StrokeOptions = {"steps": 2, "opacity": 0.6, "dry": 0.6, "taper": 9}
            c.overpaint(".013 .011 .028", constant(0.3), 0.03, lambda p: c.noise(0.3)(p), **dabs)
        if k % 80 == 79:
            lines = np.array(edges[-50:]) + c.rng.normal(0, 0.001, (50, 6, 2))
            colours = c.sample_palette("120d0b 2a1d14 5a4630", 50)
            c.draw_strokes(lines, c.rng.uniform(0.003, 0.007, 50), colours, dry=0.5, body=0.4)


def facet(c: Canvas, figure: bool) -> Array:
    """Paint a facet of the sitter or the room, and return the path (6, 2) of its hard edge."""
    v = c.rng.uniform(-0.05, 1.05)
    u = 0.5 + c.rng.normal(0, 0.06 + 0.17 * v) if figure else c.rng.uniform(-0.05, 1.05)
    size = c.rng.uniform(0.04, 0.12) if figure else c.rng.uniform(0.12, 0.24)
    turns = c.rng.choice(AXES) + np.sort(c.rng.uniform(0, TAU, c.rng.choice([4, 4, 5, 12])))
    spokes = size * (unit_vectors(turns) * (1, 1.3))
    outline = c.extent * (u, v) + spokes
    inward = float(np.arctan2(*-(spokes[0] + spokes[1])[::-1]))
    tone = c.rng.beta(0.6, 0.6) * (0.75 if figure else 0.5) + 0.25 * figure
    c.fill_polygon(outline, ramp(TINTS, tone), c.rng.uniform(0.75, 1), inward)
    c.fill_polygon(outline, "1a1410", 0.4 * c.rng.random(), inward + np.pi)
    a, b = outline[:2]
    return np.linspace(1.2 * a - 0.2 * b, 1.3 * b - 0.3 * a, 6)
