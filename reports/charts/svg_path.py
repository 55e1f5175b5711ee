"""Write compact SVG path data."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby, pairwise
from typing import TypeAlias

At: TypeAlias = tuple[float, float]


def path(points: Iterable[At], top: float) -> str:
    """Return path data of a line through points, without the parts above `top`."""
    return "".join(_piece(piece) for piece in _below(top, list(dict.fromkeys(points))))


def dots(points: Iterable[At], top: float) -> str:
    """Return path data of dots (drawn by round line caps), without those above `top`."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in dict.fromkeys(points) if y >= top)


def _below(top: float, points: list[At]) -> list[list[At]]:
    """Return the pieces of the line below `top`, cut where the line crosses it."""
    full = points[:1]
    for (x, y), (next_x, next_y) in pairwise(points):
        if (y < top) != (next_y < top):
            full.append((round(x + (next_x - x) * (top - y) / (next_y - y), 1), top))
        full.append((next_x, next_y))
    return [list(run) for inside, run in groupby(full, lambda at: at[1] >= top) if inside]


def _piece(points: list[At]) -> str:
    moves = [f"{_short(c - a)} {_short(d - b)}" for (a, b), (c, d) in pairwise(points)]
    return f"M{points[0][0]:g} {points[0][1]:g}l{' '.join(moves) or '0 0'}".replace(" -", "-")


def _short(move: float) -> str:
    """Format a move with one decimal: `.3` for 0.3."""
    text = f"{round(move, 1) + 0:g}"  # + 0 turns -0 into 0
    return text.replace("0.", ".") if abs(move) < 1 else text
