"""Which pixels a shape or a stroke covers, and where on the stroke each of them lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from harness.resources.stand_ins._palette import Array


def rasterise(polygons: Array, frame: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Return row, column and uppermost polygon of each pixel covered.

    Args:
        polygons: (n, m, 2) in pixels, the later over the earlier.
        frame: columns and rows of the picture.
    """
    corners = polygons.reshape(-1, 2)
    low, high = np.clip((corners.min(0), corners.max(0)), 0, frame)
    first = np.floor(low).astype(int)
    columns, rows = (np.ceil(high) - first).astype(int)
    index = Image.new("I", (int(columns), int(rows)))
    draw = ImageDraw.Draw(index)
    for number, polygon in enumerate((polygons - first).reshape(len(polygons), -1).tolist(), 1):
        draw.polygon(polygon, fill=number)
    numbers = np.asarray(index)
    row, column = np.nonzero(numbers)
    return row + first[1], column + first[0], numbers[row, column] - 1


@dataclass(frozen=True)
class Swept:
    """The pixels that strokes cover, and the place of each on its stroke."""

    row: Array
    column: Array
    stroke: Array  # its number
    along: Array  # from the start of the stroke, in short edges
    across: Array  # from its middle line, in short edges
    end: Array  # 0 half-way, 1 at either end
    side: Array  # 0 on the middle line, 1 at either edge


def sweep(paths: Array, width: Array | float, taper: float, frame: tuple[int, int]) -> Swept:
    """Return what strokes of `width` along `paths` (n, m, 2), both in short edges, cover."""
    short = min(frame)
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
    row, column, quad = rasterise(quads.reshape(-1, 4, 2) * short, frame)

    def each(values: Array) -> Array:  # one value per quad -> one per pixel
        return np.asarray(values.reshape(-1).astype(np.float32)[quad])

    x = ((column + 0.5) / short).astype(np.float32) - each(paths[:, :-1, 0])
    y = ((row + 0.5) / short).astype(np.float32) - each(paths[:, :-1, 1])
    cos, sin = each(step[..., 0] / reach), each(step[..., 1] / reach)
    start = np.cumsum(reach, 1) - reach
    along, across = each(start) + x * cos + y * sin, y * cos - x * sin
    length = np.repeat(start[:, -1:] + reach[:, -1:], points - 1, 1)
    end = np.abs(2 * along / each(length) - 1)
    side = np.abs(across) / each((half[:, 1:] + half[:, :-1]) / 2)
    return Swept(row, column, quad // (points - 1), along, across, end, side)
