"""Studies in the manner of painters: named stand-ins for paintings that cannot be downloaded.

The project paints these itself, from random numbers. None copies a work: each takes a manner (its
palette, its mark, its scale, the bare bones of a composition), which is what a Gram matrix sees.
Wherever a study stands in for a painting it is named as such.

How they are made: a study lays strokes on a `Canvas`. Lengths are in short edges of the picture and
places are fractions of it, so a study looks alike at every size. Strokes are drawn as quads into an
index buffer and shaded per pixel with bristles, dry ends and a relief that is lit at the end.
"""

# ruff: noqa: E731 - a study is a page of small formulas; as lambdas they stay on one line each
from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, map_coordinates

from harness.errors import UnknownNameError, nearest

Array: TypeAlias = npt.NDArray[Any]
Field: TypeAlias = Callable[[Array], Any]  # points (n, 2) -> values (n,)

Manner: TypeAlias = dict[str, Any]  # options of `Canvas.strokes`

TAU = 2 * np.pi


class Canvas:
    """A picture in the making: paint (H, W, 3) in [0, 1] and relief (H, W), both supersampled."""

    def __init__(self, width: int, height: int, rng: np.random.Generator, ground: str) -> None:
        self.rng, self.size = rng, (width, height)
        factor = 2 if min(width, height) <= 1024 else 1
        self.columns, self.rows = width * factor, height * factor
        self.short = min(self.columns, self.rows)
        self.extent = np.array([self.columns, self.rows]) / self.short  # in short edges
        self.paint = np.full((self.rows, self.columns, 3), ramp(ground, 0.0), np.float32)
        self.relief = np.zeros((self.rows, self.columns), np.float32)
        bristles = gaussian_filter(rng.normal(size=(512, 512)), (1.0, 2.5), mode="wrap")
        self.bristles = np.clip(bristles / (2 * bristles.std()), -1, 1).astype(np.float32)

    def uv(self, points: Array) -> Array:
        """Return `points` (n, 2) as fractions (2, n) of the width and of the height."""
        return np.asarray((points / self.extent).T)

    def noise(self, scale: float, octaves: int = 2) -> Field:
        """Return a smooth random field in about [-1, 1], with features of `scale` short edges."""
        lattices = self.rng.uniform(-1, 1, (octaves, 64, 64))

        def field(points: Array) -> Array:
            places = np.moveaxis(points, -1, 0) / scale
            layers = [
                map_coordinates(lattice, places * 2**k, order=3, mode="grid-wrap") / 2**k
                for k, lattice in enumerate(lattices)
            ]
            return np.asarray(sum(layers))

        return field

    def scatter(self, spacing: float) -> Array:
        """Return points (n, 2) that cover the picture evenly, in random order."""
        columns, rows = (int(n) for n in np.ceil(self.extent / spacing) + 2)
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
        points = (grid - 0.5 + self.rng.uniform(-0.6, 0.6, grid.shape)) * spacing
        return self.rng.permutation(points)

    def trace(self, points: Array, flow: Field, length: Array | float, steps: int = 4) -> Array:
        """Return paths (n, steps + 1, 2) that follow the angles of `flow` through `points`."""
        step = np.broadcast_to(np.asarray(length) / steps, len(points))[:, None]
        path = [points]
        for sign in (-1, 1):
            for _ in range(steps // 2):
                angle = flow(path[-1])
                path.append(path[-1] + sign * step * np.stack([np.cos(angle), np.sin(angle)], -1))
            path.reverse()
        return np.stack(path[::-1], 1)

    def pick(self, points: Array) -> Array:
        """Return the colours (n, 3) that now lie at `points`."""
        x, y = (np.clip(points, 0, self.extent - 1e-6) * self.short).astype(int).T
        return np.asarray(self.paint[y, x], float)

    def vary(self, colours: Array, amount: float) -> Array:
        """Return `colours` (n, 3) with a little chance in their lightness and their hue."""
        light = self.rng.normal(0, amount, (len(colours), 1))
        return colours + light + self.rng.normal(0, amount / 2, colours.shape)

    def brush(
        self,
        coats: str,
        stops: str,
        tone: Field,
        flow: Field,
        within: Field | None = None,
        chance: float = 0.12,
        steps: int = 4,
        **manner: Any,
    ) -> None:
        """Cover all places, or those where `within` is > 0, with strokes along `flow`.

        Args:
            coats: spacing, width and length of the strokes, coat by coat.
            stops: the palette, as for `ramp`.
            tone: the place on the palette, in [0, 1].
            flow: the angle of the strokes.
            within: None covers everything.
            chance: standard deviation of what each stroke adds to its tone.
            steps: bends that a stroke can make, an even number.
            manner: passed on to `strokes`.
        """
        for spacing, width, length in table(coats, 3):
            points = self.scatter(spacing)
            points = points if within is None else points[within(points) > 0]
            if not len(points):
                continue
            tones = tone(points) + self.rng.normal(0, chance, len(points))
            colours = self.vary(ramp(stops, tones), 0.025)
            self.strokes(self.trace(points, flow, length, steps), width, colours, **manner)

    def strokes(
        self,
        paths: Array,
        width: Array | float,
        colours: Array,
        *,
        opacity: float = 1.0,
        dry: float = 0.3,
        bristle: float = 0.1,
        body: float = 1.0,
        soft: float = 0.0,
        taper: float = 4.0,
    ) -> None:
        """Lay brush strokes along `paths` (n, m, 2), the later over the earlier.

        Args:
            paths: in short edges.
            width: in short edges, per stroke or for all.
            colours: sRGB in [0, 1], per stroke.
            opacity: what the paint covers where it lies thick.
            dry: 0 covers fully; 1 lets the ground show between the bristles, most at the ends.
            bristle: how much single bristles differ in lightness.
            body: thickness of the paint, which the final light shows.
            soft: share of the half width over which the edge fades.
            taper: the exponent of the outline; the higher, the blunter the ends.
        """
        count, points, _ = paths.shape
        step = np.diff(paths, axis=1)
        reach = np.maximum(np.hypot(step[..., 0], step[..., 1]), 1e-6)
        tangent = np.gradient(paths, axis=1)
        tangent /= np.maximum(np.hypot(tangent[..., 0], tangent[..., 1]), 1e-6)[..., None]
        normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
        profile = np.sqrt(1 - 0.92 * np.abs(np.linspace(-1, 1, points)) ** taper)
        half = np.broadcast_to(np.asarray(width) / 2, count)[:, None] * profile
        left, right = paths + normal * half[..., None], paths - normal * half[..., None]
        quads = np.stack([left[:, :-1], left[:, 1:], right[:, 1:], right[:, :-1]], 2)

        corner, size = self._bounds(quads.reshape(-1, 2))
        index = Image.new("I", size)
        draw = ImageDraw.Draw(index)
        for number, quad in enumerate((quads * self.short - corner).reshape(-1, 8).tolist(), 1):
            draw.polygon(quad, fill=number)
        row, column = np.nonzero(np.asarray(index))
        quad_of = np.asarray(index)[row, column] - 1
        stroke_of = quad_of // (points - 1)
        column, row = column + corner[0], row + corner[1]

        def each(values: Array) -> Array:  # one value per quad -> one per pixel
            return np.asarray(values.reshape(-1).astype(np.float32)[quad_of])

        x = ((column + 0.5) / self.short).astype(np.float32) - each(paths[:, :-1, 0])
        y = ((row + 0.5) / self.short).astype(np.float32) - each(paths[:, :-1, 1])
        cos, sin = each(step[..., 0] / reach), each(step[..., 1] / reach)
        start = np.cumsum(reach, 1) - reach
        along, across = each(start) + x * cos + y * sin, y * cos - x * sin
        end = np.abs(2 * along / each(np.repeat(start[:, -1:] + reach[:, -1:], points - 1, 1)) - 1)
        side = np.abs(across) / each((half[:, 1:] + half[:, :-1]) / 2)

        shift = self.rng.integers(0, 512, (2, count))
        grain = self.bristles[
            (across * 420).astype(int) + shift[0][stroke_of] & 511,
            (along * 60).astype(int) + shift[1][stroke_of] & 511,
        ]
        cover = np.clip(4 * (grain + 1.15 - dry * (0.5 + 1.5 * end**2)), 0, 1) * opacity
        if soft:
            cover *= np.clip((1.05 - side) / soft, 0, 1)
        shaded = colours.astype(np.float32)[stroke_of] * (1 + bristle * grain[:, None])
        height = body * (0.5 * grain + 0.6 * side**3 + 0.4)
        self._blend(row * self.columns + column, cover, shaded, height)

    def fill(
        self, outline: Array, colour: Array, opacity: float = 1.0, fade: float | None = None
    ) -> None:
        """Fill a polygon (m, 2); with `fade`, from full at one side to nothing along that angle."""
        corner, size = self._bounds(outline)
        mask = Image.new("1", size)
        ImageDraw.Draw(mask).polygon((outline * self.short - corner).ravel().tolist(), fill=1)
        y, x = np.nonzero(np.asarray(mask))
        cover = np.full(len(x), opacity, np.float32)
        if fade is not None and len(x):
            depth = np.cos(fade) * x + np.sin(fade) * y
            cover *= 1 - (depth - depth.min()) / max(float(np.ptp(depth)), 1.0)
        where = (y + corner[1]) * self.columns + x + corner[0]
        self._blend(where, cover, np.broadcast_to(colour, (len(x), 3)), 0.3)

    def _bounds(self, points: Array) -> tuple[Array, tuple[int, int]]:
        """Return the first pixel and the (columns, rows) of the canvas that hold `points`."""
        low, high = np.clip((points.min(0), points.max(0)), 0, self.extent) * self.short
        corner, size = np.floor(low).astype(int), (np.ceil(high) - np.floor(low)).astype(int)
        return corner, (int(size[0]), int(size[1]))

    def _blend(self, where: Array, cover: Array, colour: Array, height: Array | float) -> None:
        paint, relief = self.paint.reshape(-1, 3), self.relief.reshape(-1)
        paint[where] += cover[:, None] * (colour - paint[where])
        relief[where] += cover * (height - relief[where])

    def finish(self, *, light: float = 0.05, grain: float = 0.04) -> npt.NDArray[np.uint8]:
        """Light the relief from the upper left, press the weave in, and return uint8 pixels."""
        relief = gaussian_filter(self.relief, self.short / 1024)
        slope_y, slope_x = np.gradient(relief, 1024 / self.short)
        tooth = self.rng.normal(size=(768, 768))
        tooth = gaussian_filter(tooth, 0.7, mode="wrap") * 2.5
        y, x = (np.arange(n) * 700 // self.short % 768 for n in (self.rows, self.columns))
        lit = 1 + light * np.clip(4 * (slope_x + slope_y), -3, 3) + grain * tooth[np.ix_(y, x)]
        pixels = (np.clip(self.paint * lit[..., None], 0, 1) * 255 + 0.5).astype(np.uint8)
        small = Image.fromarray(pixels).resize(self.size, Image.Resampling.LANCZOS)
        return np.asarray(small).copy()


def ramp(stops: str, t: Array | float) -> Array:
    """Return the colours (..., 3) at `t` in [0, 1] along hex `stops`, such as "0b1f4b f3d35b"."""
    colours = np.array([list(bytes.fromhex(stop)) for stop in stops.split()]) / 255
    places = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(t, places, channel) for channel in colours.T], -1)


def table(numbers: str, columns: int = 2) -> Array:
    """Return the numbers of a text as rows (n, columns)."""
    return np.array(numbers.split(), float).reshape(-1, columns)


def curve(path: Array, rounds: int = 5) -> Array:
    """Return a smooth path (m, 2) near `path`, by cutting corners (Chaikin 1974)."""
    for _ in range(rounds):
        a, b = path[:-1], path[1:]
        cut = np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, 2)
        path = np.concatenate([path[:1], cut, path[-1:]])
    return path


def steady(value: float) -> Field:
    """Return the field that is `value` everywhere."""
    return lambda p: np.full(len(p), value)


def contour(field: Field) -> Field:
    """Return the flow along the level lines of `field`."""

    def flow(p: Array) -> Any:
        east, south = (field(p + d) - field(p - d) for d in 1e-3 * np.eye(2))
        return np.arctan2(-east, south)

    return flow


def eddies(c: Canvas, centres: Array, drift: Field) -> Field:
    """Return a flow that drifts, and turns about `centres`: rows of u, v, radius, strength."""

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


def cypress(c: Canvas, u: float, top: float, girth: float, stops: str) -> None:
    """Paint a flame of a tree from the lower edge at `u` up to `top`, dark first, then lights."""
    waver, lean = c.noise(0.16), c.noise(0.3)

    def aside(p: Array) -> Any:  # from the trunk, in girths
        return (p[:, 0] - u * c.extent[0]) / girth

    def within(p: Array) -> Any:
        v = c.uv(p)[1]
        rise = np.clip((v - top) / (1.02 - top), 0, 1)
        return rise**0.7 * (1 + 0.3 * np.sin(14 * v + 3 * lean(p))) - np.abs(aside(p))

    def flow(p: Array) -> Any:
        return 0.9 * waver(p) - 0.8 * aside(p) - np.pi / 2

    coats = ("0.012 0.03 0.1", 0.0), ("0.009 0.01 0.1", 0.4), ("0.014 0.006 0.08", 0.8)
    for coat, tone in coats:
        c.brush(coat, stops, steady(tone), flow, within, steps=6, taper=2)


Study: TypeAlias = Callable[[Canvas], None]
STUDIES: dict[str, Study] = {}
_FINISH: dict[str, tuple[str, float, float]] = {}  # ground, light, grain


def study(
    name: str, ground: str, light: float = 0.05, grain: float = 0.04
) -> Callable[[Study], Study]:
    """Register a study under its painting's name; `light` and `grain` are for `Canvas.finish`."""

    def register(function: Study) -> Study:
        STUDIES[name], _FINISH[name] = function, (ground, light, grain)
        return function

    return register


@study("starry-night", ground="14254f")
def starry_night(c: Canvas) -> None:
    """Van Gogh 1889: short loaded strokes that turn in eddies; deep blues against yellow halos."""
    stars = table(".05 .1 .07  .3 .07 .06  .42 .2 .05  .55 .1 .06  .7 .22 .06  .1 .42 .05", 3)
    stars = np.concatenate([stars, table(".3 .5 .1  .73 .04 .04  .9 .17 .14", 3)])  # last: the moon
    turns = np.concatenate([stars * (1, 1, 1.5), np.full((len(stars), 1), 3)], 1)
    turns = np.concatenate([turns, table(".5 .36 .2 2.2  .66 .46 .13 -2.2", 4)])
    wander, tone = c.noise(0.5), c.noise(0.12)
    flow = eddies(c, turns, lambda p: 0.5 * wander(p) + 0.1)

    def glow(p: Array) -> Any:
        away = [np.hypot(*(p - c.extent * (u, v)).T) / r for u, v, r in stars]
        return np.max([np.exp(-(d**2)) * (0.85 + 0.15 * np.cos(7 * d)) for d in away], 0)

    def ridge(p: Array) -> Any:
        u, v = c.uv(p)
        return v - 0.72 + 0.1 * u**2 + 0.025 * np.sin(11 * u)

    blues, golds = "0d1b4c 1c3f86 2d62a8 5b95bd a9cdc4 e4e4b8", "7fa9a0 d3cc7c e9bf3c f6d657 fff3b4"
    for coat in (".03 .035 .12", ".012 .013 .075", ".03 .007 .06"):
        c.brush(coat, blues, lambda p: 0.43 + 0.32 * tone(p), flow, chance=0.16)
        c.brush(coat, golds, lambda p: 1.3 * glow(p) - 0.2, flow, lambda p: glow(p) - 0.27)
    for u, v, r in stars:  # a core of light; the moon's is a crescent
        moon = r > 0.13
        turn = np.linspace(-1.3, 1.5, 24) if moon else np.linspace(0, TAU, 24)
        core = (0.38 if moon else 0.12) * r * np.stack([np.cos(turn), np.sin(turn)], -1)
        shade = ramp("f4b62e" if moon else "fff6c4", np.zeros(1))
        c.strokes((c.extent * (u, v) + core)[None], 0.28 * r, shade, taper=2)
    hills = "0b1430 15305f 2b5583 3f7a78 86a878"
    rows, roll = lambda p: 0.4 + 0.3 * np.sin(45 * ridge(p)), lambda p: 0.5 * wander(1.7 * p) - 0.15
    c.brush(".02 .026 .1  .012 .01 .07", hills, rows, roll, ridge, chance=0.2)
    for x, y in c.extent * c.rng.uniform((0.3, 0.86), (1.0, 0.97), (24, 2)):
        w, h = c.rng.uniform(0.02, 0.04, 2)
        wall = (x, y) + table("-1 0  -1 -1  0 -2  1 -1  1 0") * (w, h)
        c.fill(wall, ramp("14264c 35578a 6b86a0 4a6a5a", c.rng.random()))
        c.fill(wall[1:4], ramp("22324f 8a6a3a 3a4a80", c.rng.random()))
        c.strokes(np.stack([wall[:-1], wall[1:]], 1), 0.008, ramp("0a1026", np.zeros(4)), dry=0.5)
        window = ((x, y) + table("-.4 -.45  .2 -.45") * (w, h))[None]
        c.strokes(window, 0.013, ramp("f6c93d", np.zeros(1)), dry=0)
    cypress(c, 0.17, 0.08, 0.11, "080f12 14261f 26402c 5a5a30")


@study("wheat-field", ground="c9a24a")
def wheat_field(c: Canvas) -> None:
    """Van Gogh 1889: waving gold below, curling turquoise clouds above, nothing at rest."""
    tone, wander, clump = c.noise(0.2), c.noise(0.4), c.noise(0.1)
    turns = table(".2 .16 .17 3  .47 .3 .17 -3  .62 .1 .17 3  .33 .4 .12 2.5", 4)
    turns = np.concatenate([turns, table(".9 .3 .14 -3  .03 .36 .1 -2", 4)])

    def depth(p: Array) -> Any:
        u, v = c.uv(p)
        return v - 0.58 - 0.03 * np.sin(7 * u) + 0.05 * np.exp(-(((u - 0.35) / 0.2) ** 2))

    def hills(p: Array) -> Any:
        return np.minimum(depth(p) + 0.06 + 0.03 * wander(p), 0.1 - depth(p))

    def wave(p: Array) -> Any:
        return 0.9 * wander(1.5 * p) + 0.5 * clump(p) - 1

    sky, gold = "4f9fb0 7cc0c0 a5d6cb d5e8da f4f3e4 cfd9ea", "8a6a1e c08a24 dba531 ecc251 f5dd85"
    bushes = "5d7fb4 4a6f9c 3f7a55 5c8f3f 8aa446 2f5a3a"
    light: Field = lambda p: 0.5 + 0.6 * tone(p)
    shade: Field = lambda p: 5 * (depth(p) + 0.07) + 0.3 * clump(p)
    field: Field = lambda p: depth(p) - 0.05 - 0.02 * wander(p)
    curl, coats = eddies(c, turns, lambda p: 0.6 * wander(p)), ".034 .045 .13  .02 .02 .12"
    c.brush(coats + " .03 .009 .1", sky, light, curl, lambda p: 0.05 - depth(p), steps=6)
    c.brush(".016 .022 .06  .012 .01 .05", bushes, shade, lambda p: 5 * clump(p), hills)
    coats = ".02 .026 .1  .012 .011 .085  .02 .005 .09"
    c.brush(coats, gold, light, wave, field, chance=0.2, taper=2.5)
    for u, top, girth in ((0.85, 0.06, 0.12), (0.76, 0.42, 0.05)):
        cypress(c, u, top, girth, "10231a 1d3d27 35592f 6d7f3a")


@study("water-lilies", ground="6f86a8", light=0.03)
def water_lilies(c: Canvas) -> None:
    """Monet 1906: soft level dabs on upright reflections; violet, blue, green; pads and bloom."""
    depth, hue, wander = c.noise(0.5), c.noise(0.35), c.noise(0.2)
    water = "2f4a6e 3f6f7a 5b8f83 86a9b8 9a92c4 b9a8cf d7cfe0"
    soft: Manner = {"opacity": 0.75, "dry": 0.6, "soft": 0.6, "body": 0.6}
    tone: Field = lambda p: 0.45 + 0.5 * depth(p * (1.6, 0.6))
    level: Field = lambda p: 0.25 * wander(p)
    c.brush(".05 .06 .3  .035 .03 .22", water, tone, lambda p: level(p) + np.pi / 2, **soft)
    c.brush(".026 .024 .1", water, tone, level, **soft)
    greens = ("1b3a48 24504f 3a4f70", 0.006, 1.0), ("2f6a4f 5b945f 8fb478 c3d3a4 9a8fb4", 0, 0.85)
    beds = table(".22 .2 .16  .68 .12 .2  .45 .42 .2  .87 .5 .18  .15 .66 .26  .62 .82 .32", 3)
    for u, v, size in beds:
        count = int(900 * size)
        pads = c.rng.normal(0, 0.5, (count, 2)) * (1.5 * size, 0.32 * size) + c.extent * (u, v)
        pads, long = pads[np.argsort(pads[:, 1])], c.rng.uniform(0.03, 0.09, count) * (0.5 + v)
        t = 0.4 + 0.4 * hue(pads) + c.rng.normal(0, 0.2, count)
        for stops, lower, part in greens:  # each pad over its shadow
            paths = c.trace(pads + np.array([0, lower]), lambda p: 0.5 * level(p), long * part, 8)
            colours = c.vary(ramp(stops, t), 0.03)
            c.strokes(paths, 0.42 * part * long, colours, soft=0.45, dry=0.55, taper=2)
        spots = c.rng.normal(0, 0.4, (count // 12, 2)) * (1.2 * size, 0.28 * size)
        hearts = np.repeat(c.extent * (u, v) + spots, 6, 0)
        petals = hearts + c.rng.normal(0, 0.008, hearts.shape)
        bloom = ramp("c2567f e79ab0 f6cfd6 fff6ee", c.rng.random(len(petals)))
        paths = c.trace(petals, lambda p: 9 * wander(5 * p), 0.022)
        c.strokes(paths, 0.012, bloom, soft=0.4, taper=2)


@study("seated-nude", ground="a08c6a", light=0.04)
def seated_nude(c: Canvas) -> None:
    """Picasso 1909-10: translucent facets, each shaded from one hard edge; ochre, grey, brown."""
    tints = "14100e 4a331c 86622f b08f50 d6b46c eedaa2 5f655a 9c9f8c d6d0b4"
    axes, edges = np.array([0.1, 0.6, 1.1, np.pi / 2, 2.0, 2.5]), []
    for k in range(320):
        figure = k >= 90  # the large planes of the room first, then the small ones of the sitter
        v = c.rng.uniform(-0.05, 1.05)
        u = 0.5 + c.rng.normal(0, 0.06 + 0.17 * v) if figure else c.rng.uniform(-0.05, 1.05)
        size = c.rng.uniform(0.04, 0.12) if figure else c.rng.uniform(0.12, 0.24)
        turns = c.rng.choice(axes) + np.sort(c.rng.uniform(0, TAU, c.rng.choice([4, 4, 5, 12])))
        spokes = size * np.stack([np.cos(turns), 1.3 * np.sin(turns)], -1)
        facet = c.extent * (u, v) + spokes
        inward = float(np.arctan2(*-(spokes[0] + spokes[1])[::-1]))
        tone = c.rng.beta(0.6, 0.6) * (0.75 if figure else 0.5) + 0.25 * figure
        c.fill(facet, ramp(tints, tone), c.rng.uniform(0.75, 1), inward)
        c.fill(facet, ramp("1a1410", 0), 0.4 * c.rng.random(), inward + np.pi)
        a, b = facet[:2]
        edges.append(np.linspace(1.2 * a - 0.2 * b, 1.3 * b - 0.3 * a, 6))
        if k in (110, 200, 280):  # dabs knit the planes together, as in the works of that year
            p, where = c.scatter(0.013), c.noise(0.3)
            p = p[where(p) > 0]
            paths, colours = c.trace(p, steady(0.3), 0.028, 2), c.vary(c.pick(p), 0.03)
            c.strokes(paths, 0.011, colours, opacity=0.6, dry=0.6, taper=9)
        if k % 80 == 79:
            lines = np.array(edges[-50:]) + c.rng.normal(0, 0.001, (50, 6, 2))
            shade = ramp("120d0b 2a1d14 5a4630", c.rng.random(50))
            c.strokes(lines, c.rng.uniform(0.003, 0.007, 50), shade, dry=0.5, body=0.4)


@study("the-scream", ground="c96a2e")
def the_scream(c: Canvas) -> None:
    """Munch 1893: long wavering bands; orange sky over blue-black fjord; a straight bridge."""
    wave, tone = c.noise(0.5), c.noise(0.2)

    def sky(p: Array) -> Any:
        u, v = c.uv(p)
        return v + 0.03 * np.sin(9 * u + 5 * v) + 0.04 * wave(p)

    def fjord(p: Array) -> Any:  # level at the left, and bent upright at the right
        u, v = c.uv(p)
        bend = 1 / (1 + np.exp(-14 * (u - 0.62 + 0.1 * np.sin(9 * v))))
        return (1 - bend) * v + bend * (1.2 - 0.8 * u) + 0.05 * wave(1.5 * p)

    def deck(p: Array) -> Any:  # > 0 below the line of the rail
        u, v = c.uv(p)
        return v - 0.59 - 0.5 * u

    reds = "8c2a1c c4401f e2702a efa03a f3c65a d9542a 7d8a6a e88b33"
    blues = "0d1526 1d2f4f 2f4f6f 56706a 8c8a52 1a2233 3a3a5a b08f4a"
    sides = (sky, reds, lambda p: 0.42 - sky(p)), (fjord, blues, lambda p: sky(p) - 0.38)
    coats = ".055 .035 .4  .026 .014 .4  .014 .006 .3"
    long: Manner = {"chance": 0.09, "steps": 10, "dry": 0.5, "taper": 2}
    for field, stops, within in sides:
        band: Field = lambda p, field=field: (9 * field(p)) % 1 * 0.8 + 0.2 * tone(p)  # type: ignore[misc]
        c.brush(coats, stops, band, contour(field), within, **long)
    planks, slope = "3a1f1a 6b3523 93532f b57a48 6f7f78 c79a62", c.extent[1] / c.extent[0] / 2
    boards: Field = lambda p: 0.45 + 0.3 * np.sin(60 * deck(p))
    along = steady(np.arctan(slope))
    c.brush(".044 .04 .4  .02 .014 .3", planks, boards, along, deck, chance=0.2, dry=0.6)
    for drop in (0.0, 0.09, 0.2):
        rail = c.extent * np.linspace((-0.05, 0.535 + drop), (1.05, 1.085 + drop), 12)
        for shade, width in (("2a1512", 0.026), ("9c5a30", 0.01)):
            c.strokes(rail[None], width, ramp(shade, np.zeros(1)), dry=0.4, taper=20)
    parts = (  # half widths down the height: coat, head, eyes, mouth
        (".03 .6  .045 .66  .1 .7  .12 .78  .1 .9  .13 1.1", 0.0, "0f1219 1f2836 33404f 4a4238"),
        (".02 .44  .065 .47  .075 .52  .055 .58  .035 .64  .02 .65", 0.0, "a88a52 d3b473 ecd9a4"),
        (".02 .51  .02 .53", -0.03, "3a2a20"),
        (".02 .51  .02 .53", 0.03, "3a2a20"),
        (".012 .575  .015 .61", 0.0, "3a2a20"),
    )
    trunk: Field = lambda p: p[:, 0] - 0.6 * c.extent[0] - 0.03 * np.sin(14 * c.uv(p)[1])
    light: Field = lambda p: 0.5 + 0.5 * tone(2 * p)
    for outline, aside, stops in parts:

        def inside(p: Array, outline: str = outline, aside: float = aside) -> Any:
            girth, level = table(outline).T
            return np.interp(c.uv(p)[1], level, girth, -1, -1) - np.abs(trunk(p) - aside)

        c.brush(".007 .011 .04", stops, light, contour(trunk), inside, chance=0.25, dry=0.1)


@study("shipwreck", ground="7a6a50", light=0.03)
def shipwreck(c: Canvas) -> None:
    """Turner 1805: broad soft sweeps about a storm light; browns, greys, and scraped cream foam."""
    tone, wander, chop = c.noise(0.35, 3), c.noise(0.5), c.noise(0.22, 3)
    flow = eddies(c, table(".55 .5 .7 1.5  .15 .8 .3 -1.5", 4), lambda p: 1.3 * wander(p) - 0.3)

    def swell(p: Array) -> Any:
        u, v = c.uv(p)
        return v - 0.06 * np.sin(7 * u + 9 * v) + 0.07 * chop(p)

    def lit(p: Array) -> Any:
        return np.exp(-np.sum(((p - c.extent * (0.38, 0.32)) / (0.36, 0.26)) ** 2, -1))

    def foam(p: Array) -> Any:
        return 0.5 * np.sin(30 * swell(p)) + 0.45 * tone(1.7 * p) + 0.4 * lit(p)

    clouds, sweep = "1a1a1f 463a34 5f6670 8d989e b7a98c e2cf9c fdf6e0", ".07 .12 .4  .035 .06 .25"
    storm: Field = lambda p: 0.25 + 0.85 * lit(p) + 0.5 * tone(p)
    crest: Field = lambda p: np.minimum(swell(p) - 0.54, foam(p) - 0.2)
    soft: Manner = {"opacity": 0.8, "soft": 0.75}
    c.brush(sweep + " .02 .03 .15", clouds, storm, flow, steps=6, dry=0.5, body=0.5, **soft)
    sea, drag = "12181c 27343a 4a4f46 64797a 97a8a2 d8d6c4 fdf9ec", contour(swell)
    waves, body = ".05 .07 .3  .025 .035 .2  .018 .016 .12", lambda p: 0.38 + 0.45 * foam(p)
    c.brush(waves, sea, body, drag, lambda p: swell(p) - 0.52, steps=6, dry=0.7, **soft)
    hull = table(".5 .55  .54 .72  .74 .7  .84 .53  .68 .62  .5 .55")
    sail = table(".51 .3  .53 .48  .64 .5  .63 .27  .51 .3")
    c.fill(c.extent * curve(hull), ramp("201611", 0))
    c.fill(c.extent * curve(sail), ramp("c9973f", 0), 0.9, 2.0)
    ends = table(".6 .65 .52 .16  .71 .63 .7 .28  .45 .34 .66 .25", 4).reshape(3, 2, 2)
    spars = c.extent * np.linspace(ends[:, 0], ends[:, 1], 5, axis=1)
    c.strokes(spars, 0.012, ramp("1f1611", np.zeros(3)), dry=0.2)
    p = c.scatter(0.014)  # storm and sea pass over the ship
    c.strokes(c.trace(p, flow, 0.05), 0.012, c.vary(c.pick(p), 0.04), dry=0.7, **soft)
    spray, bright = ".012 .014 .06  .014 .005 .03", lambda p: 0.5 + 0.5 * foam(p)
    c.brush(spray, sea, bright, drag, crest, dry=0.9, **soft)


@study("composition-vii", ground="efe3c6")
def composition_vii(c: Canvas) -> None:
    """Kandinsky 1913: crossing arcs, blots, combs and lines, vivid on cream, at every scale."""
    vivid = "d8342b f08a24 f5c52e 3f9a52 1f6fb5 2b3a8c 8a3f96 e67fa0 5fb6c4 7a2f22 1c1a20"
    cream, ink, rng = "f6eed8 efdcae e8c9a0 cfd8cf f3e6c0", "141318 2a2233 7a1f22 1f3a7a", c.rng
    patch, wander, coats = c.noise(0.25), c.noise(0.4), ".08 .1 .2  .03 .04 .14  .016 .02 .08"
    hue, flow = lambda p: 0.45 + 0.55 * wander(1.6 * p), lambda p: 4 * wander(p)
    thin: Manner = {"opacity": 0.85, "dry": 0.6, "soft": 0.4}
    c.brush(coats, cream, lambda p: 0.5 + 0.5 * wander(p), flow, **thin)
    c.brush(coats, vivid, hue, flow, lambda p: patch(p) - 0.05, chance=0.05, **thin)

    def arcs(count: int, size: float, width: float, stops: str, bend: float) -> None:
        start = c.extent * np.clip(rng.normal(0.5, 0.3, (count, 2)), -0.05, 1.05)
        turn, curl = rng.uniform(0, TAU, (count, 1)), rng.normal(0, bend, (count, 1))
        angle = turn + curl * np.linspace(-1, 1, 16)
        step = np.stack([np.cos(angle), np.sin(angle)], -1) * size / 16
        paths = start[:, None] + np.cumsum(step * rng.uniform(0.4, 1, (count, 1, 1)), 1)
        widths = width * rng.uniform(0.4, 1.2, count)
        c.strokes(paths, widths, ramp(stops, rng.random(count)), taper=3)
        if width > 0.02:  # a dark contour on one side, as of a shape cut out
            c.strokes(paths + 0.4 * width, 0.006, ramp(ink, rng.random(count)))

    for _ in range(3):
        arcs(22, 0.17, 0.11, vivid, 0.8)
        arcs(30, 0.35, 0.03, vivid, 1.2)
        arcs(24, 0.4, 0.007, ink, 0.6)
        for u, v in rng.uniform(0.05, 0.95, (6, 2)):  # combs: short strokes side by side
            across, along = rng.normal(0, (0.17, 0.05), (2, 2)).T
            comb = c.extent * (u, v) + np.linspace(0, 1, rng.integers(5, 9))[:, None] * across
            bars = comb[:, None] + np.linspace(-1, 1, 5)[:, None] * along
            c.strokes(bars, 0.012, ramp(vivid, rng.random(len(comb))), taper=10)
        arcs(60, 0.06, 0.02, vivid, 0.9)
    arcs(30, 0.22, 0.006, ink, 0.9)


@study("great-wave", ground="d9c9a3", light=0.015, grain=0.03)
def great_wave(c: Canvas) -> None:
    """Hokusai 1831: flat Prussian blues in parallel bands, fine dark outlines, claws of foam."""
    wander = c.noise(0.5)
    flat: Manner = {"body": 0.3, "bristle": 0.12}
    blues, foam, ink = "16284f 1f3d73 2f5a8f 7fa3b8 c9d4cc", "f3ecd8", "131d36"
    sky, block = "857c70 a39a84 c2b48e d9c79c e3d5b0", ".042 .05 .6  .013 .008 .5  .01 .004 .3"
    dusk, vein = lambda p: 0.9 - 0.8 * c.uv(p)[1] + 0.25 * wander(p), lambda p: 0.25 * wander(p)
    c.brush(block, sky, dusk, vein, steps=6, dry=0.7, **flat)

    def sheet(back: Array, face: Array, bands: int) -> None:  # parallel bands, each outlined
        ends = [c.extent * curve(edge) for edge in (back, face)]
        ends = [edge[np.linspace(0, len(edge) - 1, 60).astype(int)] for edge in ends]
        c.fill(np.concatenate([ends[0], ends[1][::-1]]), ramp(blues, 0.2))
        mix = np.linspace(0, 1, bands)[:, None, None]
        paths = ends[0] * (1 - mix) + ends[1] * mix + c.rng.normal(0, 0.001, (bands, 60, 2))
        gap = np.hypot(*(ends[1] - ends[0]).T).mean() / bands
        tones = np.resize([0.1, 0.75, 0.3, 1.0, 0.2, 0.5], bands)
        c.strokes(paths, 0.7 * gap, c.vary(ramp(blues, tones), 0.02), dry=0.4, **flat)
        c.strokes(paths, 0.005, ramp(ink, np.zeros(bands)), dry=0.2, body=0.3)

    def claws(edge: Array, count: int, size: float) -> None:  # hooks of foam, each outlined
        path = c.extent * curve(edge)
        for _ in range(3):
            at = np.sort(c.rng.integers(0, len(path) - 1, count))
            out = np.arctan2(*(path[at + 1] - path[at]).T[::-1]) + c.rng.normal(-1.57, 0.5, count)
            angle = out[:, None] + c.rng.uniform(0.8, 2.6, (count, 1)) * np.linspace(-0.4, 1, 9)
            length = size * c.rng.uniform(0.4, 1, count)
            steps = np.stack([np.cos(angle), np.sin(angle)], -1) * length[:, None, None] / 9
            paths = path[at][:, None] + np.cumsum(steps, 1)
            for width, stop in ((0.42, ink), (0.3, foam), (0.08, "8fb0c0")):
                shade = ramp(stop, np.zeros(count))
                c.strokes(paths, width * length, shade, dry=0.05, body=0.3, taper=2)

    fuji = c.extent * curve(table(".48 .78  .6 .68  .635 .6  .665 .6  .7 .68  .84 .78"), 2)
    c.fill(fuji, ramp("3f5f86", 0))
    c.fill(fuji[7:16], ramp(foam, 0))
    c.strokes(fuji[None], 0.006, ramp(ink, np.zeros(1)), dry=0.2)
    back = table("-.1 .5  .05 .3  .17 .13  .33 .04  .48 .1  .57 .25  .56 .38")
    face = table("-.1 1  .3 .9  .36 .7  .3 .5  .33 .32  .45 .26  .56 .38")
    low = table("-.1 1.02  .3 .95  .5 .8  .7 .83  .9 .62  1.1 .55")
    near = table("-.1 1  .1 .85  .2 .7  .32 .86  .55 1.02")
    sheet(back, face, 14)
    sheet(low, low + np.array([0, 0.5]), 16)
    claws(back[1:], 40, 0.13)
    claws(low[2:], 22, 0.08)
    sheet(near, near + np.array([0, 0.35]), 12)
    claws(near[1:4], 10, 0.06)
    drops = c.extent * np.clip(c.rng.normal((0.5, 0.3), 0.17, (160, 2)), 0, 1)
    c.strokes(c.trace(drops, wander, 0.008, 2), 0.008, ramp(foam, np.zeros(160)), dry=0, taper=2)
    p = c.scatter(0.011)  # the grain again, through every colour
    grain, colours = c.trace(p, steady(0.1), 0.03), c.vary(c.pick(p), 0.06)
    c.strokes(grain, 0.004, colours, opacity=0.5, dry=0.8, body=0.3)


@study("woman-with-a-hat", ground="e9dcc0", light=0.07)
def woman_with_a_hat(c: Canvas) -> None:
    """Matisse 1905: broad loose patches of pure colour that clash, the canvas left in the gaps."""
    turn, patch, edge = c.noise(0.5), c.noise(0.22), c.noise(0.12)
    flow: Field = lambda p: 2.5 * np.round(2 * turn(p)) + 0.7 * turn(2 * p)
    regions = (  # u, v, half width, half height, stroke width, colours: from the ground to the hat
        (0.5, 0.5, 9, 9, 0.085, "3f9a72 8cc6a0 e58fae c98ac4 f0b23e e9d9a0 5f8fc4 d9573f 9fd0c0"),
        (0.5, 1.02, 0.43, 0.36, 0.07, "1f4f8c 2f7f5f e0508a 7a3f96 f08a3a 1f2f5a 3fae8a d43a4a"),
        (0.5, 0.68, 0.09, 0.14, 0.04, "e8862e d94f2a f2c14e"),
        (0.5, 0.44, 0.22, 0.22, 0.05, "b5452a d9602e 7a2f3a"),
        (0.5, 0.46, 0.16, 0.2, 0.04, "f2b8a8 f5d9a0 5fae7f e8829a f7e6c6 8fc79a f0c4b4"),
        (0.48, 0.19, 0.38, 0.14, 0.06, "2b2f7a 1f7f8c 7a3f9a d93f5a 2f7f4f f0a0b8 1a1f3a f07a2a"),
    )
    for u, v, across, tall, full, stops in regions:
        tints = np.array([ramp(stop, 0) for stop in stops.split()])
        for width, chance in ((full, 0.1), (0.6 * full, 0.17)):
            p = c.scatter(0.7 * width)
            x, y = ((p - c.extent * (u, v)) / (across, tall * c.extent[1])).T
            p = p[x**2 + y**2 < 1 + 0.3 * edge(p)]
            t = 0.5 + 0.8 * patch(1.1 * p) + c.rng.normal(0, chance, len(p))
            colours = c.vary(tints[np.clip(t * len(tints), 0, len(tints) - 1).astype(int)], 0.03)
            paths = c.trace(p, flow, 2.4 * width)
            c.strokes(paths, width, colours, dry=0.7, bristle=0.16, taper=12)
    lines = (  # eyes, nose, mouth
        ("-.09 -.05  -.055 -.07  -.02 -.045", "1f2f5a"),
        (".03 -.045  .06 -.07  .1 -.05", "1f2f5a"),
        (".005 -.05  -.01 .03  .02 .04", "2f7f5f"),
        ("-.04 .09  0 .075  .05 .09", "b0243a"),
    )
    for line, stop in lines:
        path = c.extent * (0.5, 0.46) + curve(table(line), 3)
        c.strokes(path[None], 0.02, ramp(stop, np.zeros(1)), dry=0.7)


def paint(name: str, width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return the study `name` as sRGB pixels (height, width, 3); equal arguments, equal pixels.

    Raises:
        UnknownNameError: there is no such study; the message lists those that there are.
    """
    if name not in STUDIES:
        known = ", ".join(sorted(STUDIES))
        raise UnknownNameError(f"{name!r} is not one of {known}.{nearest(name, STUDIES)}")
    ground, light, grain = _FINISH[name]
    canvas = Canvas(width, height, np.random.default_rng([seed, crc32(name.encode())]), ground)
    STUDIES[name](canvas)
    return canvas.finish(light=light, grain=grain)
