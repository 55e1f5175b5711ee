"""Stroke-based rendering of studies: strokes with bristles, dry ends and a relief.

Lengths and points are in units of the short edge of the picture, so that a study looks alike at
every size. All random numbers come from the generator of the canvas, in the order of the calls.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from harness.resources.stand_ins._palette import Array, Field, parse_table, ramp, unit_vectors
from harness.resources.stand_ins._raster import rasterize_polygons, rasterize_strokes

StrokeOptions: TypeAlias = dict[str, Any]  # keyword arguments of `Canvas.brush` and `draw_strokes`


class Canvas:
    """A colour buffer (H, W, 3), sRGB in [0, 1], and a height map (H, W), both supersampled."""

    def __init__(self, width: int, height: int, rng: np.random.Generator) -> None:
        self.rng, self.output_size = rng, (width, height)
        factor = 2 if min(width, height) <= 1024 else 1
        self.columns, self.rows = self.buffer_size = width * factor, height * factor
        self.short_edge = min(self.buffer_size)
        self.extent = np.array(self.buffer_size) / self.short_edge
        self.colour_buffer = np.empty((self.rows, self.columns, 3), np.float32)
        self.height_map = np.zeros((self.rows, self.columns), np.float32)
        self.prime("ffffff")
        bristles = gaussian_filter(rng.normal(size=(512, 512)), (1.0, 2.5), mode="wrap")
        self.bristles = np.clip(bristles / (2 * bristles.std()), -1, 1).astype(np.float32)

    def prime(self, ground: str, *, light: float = 0.05, weave: float = 0.04) -> None:
        """Fill the canvas with the first colour of `ground`.

        Args:
            ground: A palette, as for `ramp`.
            light: Strength of the shading of the relief in the finished picture.
            weave: Strength of the canvas texture in the finished picture.
        """
        self.colour_buffer[:] = ramp(ground, 0)
        self.light, self.weave = light, weave

    def uv(self, points: Array) -> Array:
        """Return `points` (n, 2) as fractions (2, n) of the width and the height."""
        return np.asarray((points / self.extent).T)

    def noise(self, scale: float, octaves: int = 2) -> Field:
        """Return fractal value noise in about [-1, 1], with features of `scale` short edges."""
        lattices = self.rng.uniform(-1, 1, (octaves, 64, 64))

        def field(points: Array) -> Array:
            lattice_points = np.moveaxis(points, -1, 0) / scale
            layers = [
                map_coordinates(lattice, lattice_points * 2**k, order=3, mode="grid-wrap") / 2**k
                for k, lattice in enumerate(lattices)
            ]
            return np.asarray(sum(layers))

        return field

    def scatter(self, spacing: float, within: Field | None = None) -> Array:
        """Return a shuffled jittered grid (n, 2), only the points where `within` is positive."""
        columns, rows = (int(n) for n in np.ceil(self.extent / spacing) + 2)
        grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2)
        points = (grid - 0.5 + self.rng.uniform(-0.6, 0.6, grid.shape)) * spacing
        points = self.rng.permutation(points)
        return points if within is None else points[within(points) > 0]

    def streamlines(
        self, points: Array, flow: Field, length: Array | float, steps: int = 4
    ) -> Array:
        """Return streamlines (n, steps + 1, 2) of the angle field `flow` through `points`."""
        step = np.broadcast_to(np.asarray(length) / steps, len(points))[:, None]
        path = [points]
        for sign in (-1, 1):
            for _ in range(steps // 2):
                path.append(path[-1] + sign * step * unit_vectors(flow(path[-1])))
            path.reverse()
        return np.stack(path[::-1], 1)

    def sample_palette(self, stops: str, count: int) -> Array:
        """Return random colours (count, 3) of a palette, or equal colours if it has one stop."""
        return ramp(stops, self.rng.random(count) if " " in stops else np.zeros(count))

    def jitter(self, colours: Array, amount: float) -> Array:
        """Return `colours` (n, 3) with noise: `amount` in lightness, half of it in each channel."""
        light = self.rng.normal(0, amount, (len(colours), 1))
        return colours + light + self.rng.normal(0, amount / 2, colours.shape)

    def brush(
        self,
        coats: str,
        stops: str,
        tone: Field,
        flow: Field,
        within: Field | None = None,
        tone_noise: float = 0.12,
        steps: int = 4,
        **options: Any,
    ) -> None:
        """Cover a region with strokes along `flow`.

        Args:
            coats: Spacing, width and length of the strokes of each coat.
            stops: The palette, as for `ramp`.
            tone: Position on the palette, in [0, 1].
            flow: Angle of the strokes.
            within: Positive inside the region; None is the whole picture.
            tone_noise: Standard deviation of the noise in the tone of each stroke.
            steps: Segments of a stroke, an even number.
            options: Passed to `draw_strokes`.
        """
        for spacing, width, length in parse_table(coats, 3):
            points = self.scatter(spacing, within)
            if not len(points):
                continue
            tones = tone(points) + self.rng.normal(0, tone_noise, len(points))
            colours = self.jitter(ramp(stops, tones), 0.025)
            self.draw_strokes(
                self.streamlines(points, flow, length, steps), width, colours, **options
            )

    def overpaint(
        self,
        coat: str,
        flow: Field,
        colour_noise: float,
        within: Field | None = None,
        steps: int = 4,
        **options: Any,
    ) -> None:
        """Cover a region with strokes as `brush` does, in the colours of the picture below them."""
        ((spacing, width, length),) = parse_table(coat, 3)
        points = self.scatter(spacing, within)
        x, y = (np.clip(points, 0, self.extent - 1e-6) * self.short_edge).astype(int).T
        colours = self.jitter(self.colour_buffer[y, x].astype(float), colour_noise)
        self.draw_strokes(self.streamlines(points, flow, length, steps), width, colours, **options)

    def draw_strokes(
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
        """Draw strokes along `paths` (n, m, 2), or one path (m, 2); later strokes are on top.

        Args:
            paths: In short edges.
            width: In short edges, one for each stroke or one for all.
            colours: sRGB in [0, 1], one for each stroke, or a palette for `sample_palette`.
            opacity: Coverage where the paint is thick.
            dry: 0 covers fully; 1 leaves gaps between the bristles, most of them at the ends.
            bristle: Variation of the lightness between bristles.
            body: Thickness of the paint in the height map.
            soft: Share of the half width over which the edge fades.
            taper: Exponent of the outline; high values give blunt ends.
        """
        paths = paths.reshape(-1, *paths.shape[-2:])
        if isinstance(colours, str):
            colours = self.sample_palette(colours, len(paths))
        pixels = rasterize_strokes(paths, width, taper, self.buffer_size)
        offset = self.rng.integers(0, 512, (2, len(paths)))
        grain = self.bristles[
            (pixels.across * 420).astype(int) + offset[0][pixels.stroke] & 511,
            (pixels.along * 60).astype(int) + offset[1][pixels.stroke] & 511,
        ]
        coverage = np.clip(4 * (grain + 1.15 - dry * (0.5 + 1.5 * pixels.end**2)), 0, 1) * opacity
        if soft:
            coverage *= np.clip((1.05 - pixels.side) / soft, 0, 1)
        shaded = colours.astype(np.float32)[pixels.stroke] * (1 + bristle * grain[:, None])
        height = body * (0.5 * grain + 0.6 * pixels.side**3 + 0.4)
        self._blend(pixels.row, pixels.column, coverage, shaded, height)

    def fill_polygon(
        self, outline: Array, colour: Array | str, opacity: float = 1.0, fade: float | None = None
    ) -> None:
        """Fill a polygon (m, 2); the opacity falls to 0 in the direction of the angle `fade`."""
        colour = self.sample_palette(colour, 1) if isinstance(colour, str) else colour
        row, column, _ = rasterize_polygons(outline[None] * self.short_edge, self.buffer_size)
        coverage = np.full(len(row), opacity, np.float32)
        if fade is not None and len(row):
            depth = np.cos(fade) * column + np.sin(fade) * row
            coverage *= 1 - (depth - depth.min()) / max(float(np.ptp(depth)), 1.0)
        self._blend(row, column, coverage, np.broadcast_to(colour, (len(row), 3)), 0.3)

    def _blend(
        self, row: Array, column: Array, coverage: Array, colour: Array, height: Array | float
    ) -> None:
        index = row * self.columns + column
        colours, heights = self.colour_buffer.reshape(-1, 3), self.height_map.reshape(-1)
        colours[index] += coverage[:, None] * (colour - colours[index])
        heights[index] += coverage * (height - heights[index])

    def render(self) -> npt.NDArray[np.uint8]:
        """Shade the height map from the upper left, add the canvas texture; return uint8 pixels."""
        heights = gaussian_filter(self.height_map, self.short_edge / 1024)
        slope_y, slope_x = np.gradient(heights, 1024 / self.short_edge)
        texture = self.rng.normal(size=(768, 768))
        texture = gaussian_filter(texture, 0.7, mode="wrap") * 2.5
        y, x = (np.arange(n) * 700 // self.short_edge % 768 for n in (self.rows, self.columns))
        shading = self.light * np.clip(4 * (slope_x + slope_y), -3, 3)
        brightness = 1 + shading + self.weave * texture[np.ix_(y, x)]
        pixels = np.clip(self.colour_buffer * brightness[..., None], 0, 1) * 255 + 0.5
        picture = Image.fromarray(pixels.astype(np.uint8))
        small = picture.resize(self.output_size, Image.Resampling.LANCZOS)
        return np.asarray(small).copy()
