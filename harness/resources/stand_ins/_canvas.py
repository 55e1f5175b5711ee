"""The canvas that studies are painted on: strokes with bristles, dry ends and a relief.

Lengths are in short edges of the picture and places are fractions of it, so a study looks alike at
every size. Whatever is left to chance comes from the generator of the canvas, call by call.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from harness.resources.stand_ins._palette import Array, Field, ramp, table, toward
from harness.resources.stand_ins._raster import rasterise, sweep

Manner: TypeAlias = dict[str, Any]  # options of `Canvas.strokes`


class Canvas:
    """A picture in the making: paint (H, W, 3) in [0, 1] and relief (H, W), both supersampled."""

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.rng, self.size = rng, (width, height)
        factor = 2 if min(width, height) <= 1024 else 1
        self.columns, self.rows = self.frame = width * factor, height * factor
        self.short = min(self.frame)
        self.extent = np.array(self.frame) / self.short  # in short edges
        self.paint = np.empty((self.rows, self.columns, 3), np.float32)
        self.relief = np.zeros((self.rows, self.columns), np.float32)
        self.prime("ffffff")
        bristles = gaussian_filter(rng.normal(size=(512, 512)), (1.0, 2.5), mode="wrap")
        self.bristles = np.clip(bristles / (2 * bristles.std()), -1, 1).astype(np.float32)

    def prime(self, ground: str, *, light: float = 0.05, weave: float = 0.04) -> None:
        """Cover all with one colour; say how strong the final light and the weave will be."""
        self.paint[:] = ramp(ground, 0)
        self.light, self.weave = light, weave

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

    def scatter(self, spacing: float, within: Field | None = None) -> Array:
        """Return points (n, 2) spread evenly, in random order, where `within` is > 0 if given."""
        columns, rows = (int(n) for n in np.ceil(self.extent / spacing) + 2)
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
        points = (grid - 0.5 + self.rng.uniform(-0.6, 0.6, grid.shape)) * spacing
        points = self.rng.permutation(points)
        return points if within is None else points[within(points) > 0]

    def trace(self, points: Array, flow: Field, length: Array | float, steps: int = 4) -> Array:
        """Return paths (n, steps + 1, 2) that follow the angles of `flow` through `points`."""
        step = np.broadcast_to(np.asarray(length) / steps, len(points))[:, None]
        path = [points]
        for sign in (-1, 1):
            for _ in range(steps // 2):
                path.append(path[-1] + sign * step * toward(flow(path[-1])))
            path.reverse()
        return np.stack(path[::-1], 1)

    def choose(self, stops: str, count: int) -> Array:
        """Return colours (count, 3) from anywhere on a palette, or all the same from one stop."""
        return ramp(stops, self.rng.random(count) if " " in stops else np.zeros(count))

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
            points = self.scatter(spacing, within)
            if not len(points):
                continue
            tones = tone(points) + self.rng.normal(0, chance, len(points))
            colours = self.vary(ramp(stops, tones), 0.025)
            self.strokes(self.trace(points, flow, length, steps), width, colours, **manner)

    def rework(
        self,
        coat: str,
        flow: Field,
        chance: float,
        within: Field | None = None,
        steps: int = 4,
        **manner: Any,
    ) -> None:
        """Go over the picture as `brush` does, in the colours that lie there already."""
        ((spacing, width, length),) = table(coat, 3)
        points = self.scatter(spacing, within)
        x, y = (np.clip(points, 0, self.extent - 1e-6) * self.short).astype(int).T
        colours = self.vary(self.paint[y, x].astype(float), chance)
        self.strokes(self.trace(points, flow, length, steps), width, colours, **manner)

    def strokes(
        self,
        paths: Array,
        width: Array | float,
        colours: Array | str,
        *,
        opacity: float = 1.0,
        dry: float = 0.3,
        bristle: float = 0.1,
        body: float = 1.0,
        soft: float = 0.0,
        taper: float = 4.0,
    ) -> None:
        """Lay brush strokes along `paths` (n, m, 2) or one (m, 2), the later over the earlier.

        Args:
            paths: in short edges.
            width: in short edges, per stroke or for all.
            colours: sRGB in [0, 1], per stroke; or a palette to `choose` from.
            opacity: what the paint covers where it lies thick.
            dry: 0 covers fully; 1 lets the ground show between the bristles, most at the ends.
            bristle: how much single bristles differ in lightness.
            body: thickness of the paint, which the final light shows.
            soft: share of the half width over which the edge fades.
            taper: the exponent of the outline; the higher, the blunter the ends.
        """
        paths = paths.reshape(-1, *paths.shape[-2:])
        if isinstance(colours, str):
            colours = self.choose(colours, len(paths))
        at = sweep(paths, width, taper, self.frame)
        shift = self.rng.integers(0, 512, (2, len(paths)))
        grain = self.bristles[
            (at.across * 420).astype(int) + shift[0][at.stroke] & 511,
            (at.along * 60).astype(int) + shift[1][at.stroke] & 511,
        ]
        cover = np.clip(4 * (grain + 1.15 - dry * (0.5 + 1.5 * at.end**2)), 0, 1) * opacity
        if soft:
            cover *= np.clip((1.05 - at.side) / soft, 0, 1)
        shaded = colours.astype(np.float32)[at.stroke] * (1 + bristle * grain[:, None])
        height = body * (0.5 * grain + 0.6 * at.side**3 + 0.4)
        self._blend(at.row, at.column, cover, shaded, height)

    def fill(
        self, outline: Array, colour: Array | str, opacity: float = 1.0, fade: float | None = None
    ) -> None:
        """Fill a polygon (m, 2); with `fade`, from full at one side to nothing along that angle."""
        colour = self.choose(colour, 1) if isinstance(colour, str) else colour
        row, column, _ = rasterise(outline[None] * self.short, self.frame)
        cover = np.full(len(row), opacity, np.float32)
        if fade is not None and len(row):
            depth = np.cos(fade) * column + np.sin(fade) * row
            cover *= 1 - (depth - depth.min()) / max(float(np.ptp(depth)), 1.0)
        self._blend(row, column, cover, np.broadcast_to(colour, (len(row), 3)), 0.3)

    def _blend(
        self, row: Array, column: Array, cover: Array, colour: Array, height: Array | float
    ) -> None:
        where = row * self.columns + column
        paint, relief = self.paint.reshape(-1, 3), self.relief.reshape(-1)
        paint[where] += cover[:, None] * (colour - paint[where])
        relief[where] += cover * (height - relief[where])

    def finish(self) -> npt.NDArray[np.uint8]:
        """Light the relief from the upper left, press the weave in, and return uint8 pixels."""
        relief = gaussian_filter(self.relief, self.short / 1024)
        slope_y, slope_x = np.gradient(relief, 1024 / self.short)
        tooth = self.rng.normal(size=(768, 768))
        tooth = gaussian_filter(tooth, 0.7, mode="wrap") * 2.5
        y, x = (np.arange(n) * 700 // self.short % 768 for n in (self.rows, self.columns))
        shine = self.light * np.clip(4 * (slope_x + slope_y), -3, 3)
        lit = 1 + shine + self.weave * tooth[np.ix_(y, x)]
        pixels = (np.clip(self.paint * lit[..., None], 0, 1) * 255 + 0.5).astype(np.uint8)
        small = Image.fromarray(pixels).resize(self.size, Image.Resampling.LANCZOS)
        return np.asarray(small).copy()
