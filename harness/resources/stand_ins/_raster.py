"""Rasterization: the pixels of polygons and strokes, and their positions on a stroke."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from harness.resources.stand_ins._palette import Array


def rasterize_polygons(polygons: Array, size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Return the row, the column and the index of the topmost polygon of each covered pixel.

    Args:
        polygons: (n, m, 2) in pixels; later polygons are on top.
        size: Columns and rows of the picture.
    """
    corners = polygons.reshape(-1, 2)
    lower, upper = np.clip((corners.min(0), corners.max(0)), 0, size)
    origin = np.floor(lower).astype(int)
    columns, rows = (np.ceil(upper) - origin).astype(int)
    index_buffer = Image.new("I", (int(columns), int(rows)))
    painter = ImageDraw.Draw(index_buffer)
    for number, polygon in enumerate((polygons - origin).reshape(len(polygons), -1).tolist(), 1):
        painter.polygon(polygon, fill=number)
    indices = np.asarray(index_buffer)  # from 1; 0 is uncovered
    row, column = np.nonzero(indices)
    return row + origin[1], column + origin[0], indices[row, column] - 1


@dataclass(frozen=True)
class StrokePixels:
    """The pixels that strokes cover, and their positions on the strokes."""

    row: Array
    column: Array
    stroke: Array  # index of the stroke
    along: Array  # from the start of the stroke, in short edges
    across: Array  # from its centre line, in short edges
    end: Array  # 0 at the middle of the length, 1 at both ends
    side: Array  # 0 on the centre line, 1 at both edges


def rasterize_strokes(
    paths: Array, width: Array | float, taper: float, size: tuple[int, int]
) -> StrokePixels:
    """Return the pixels of strokes along `paths` (n, m, 2).

    Args:
        paths: In short edges.
        width: In short edges, one for each stroke or one for all.
        taper: Exponent of the outline; high values give blunt ends.
        size: Columns and rows of the picture.
    """
    short_edge = min(size)
    count, points, _ = paths.shape
    step = np.diff(paths, axis=1)
    segment_length = np.maximum(np.hypot(step[..., 0], step[..., 1]), 1e-6)
    tangent = np.gradient(paths, axis=1)
    tangent /= np.maximum(np.hypot(tangent[..., 0], tangent[..., 1]), 1e-6)[..., None]
    normal = np.stack([-tangent[..., 1], tangent[..., 0]], -1)
    profile = np.sqrt(1 - 0.92 * np.abs(np.linspace(-1, 1, points)) ** taper)
    half_width = np.broadcast_to(np.asarray(width) / 2, count)[:, None] * profile
    left, right = paths + normal * half_width[..., None], paths - normal * half_width[..., None]
    quads = np.stack([left[:, :-1], left[:, 1:], right[:, 1:], right[:, :-1]], 2)
    row, column, quad = rasterize_polygons(quads.reshape(-1, 4, 2) * short_edge, size)

    def per_pixel(values: Array) -> Array:  # from one value per quad
        return np.asarray(values.reshape(-1).astype(np.float32)[quad])

    x = ((column + 0.5) / short_edge).astype(np.float32) - per_pixel(paths[:, :-1, 0])
    y = ((row + 0.5) / short_edge).astype(np.float32) - per_pixel(paths[:, :-1, 1])
    cos, sin = per_pixel(step[..., 0] / segment_length), per_pixel(step[..., 1] / segment_length)
    start = np.cumsum(segment_length, 1) - segment_length
    along, across = per_pixel(start) + x * cos + y * sin, y * cos - x * sin
    length = np.repeat(start[:, -1:] + segment_length[:, -1:], points - 1, 1)
    end = np.abs(2 * along / per_pixel(length) - 1)
    side = np.abs(across) / per_pixel((half_width[:, 1:] + half_width[:, :-1]) / 2)
    return StrokePixels(row, column, quad // (points - 1), along, across, end, side)
