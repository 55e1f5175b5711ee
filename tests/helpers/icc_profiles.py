"""Small ICC profiles, and the sRGB colours that pixels with such a profile have by its formula."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))
DISPLAY_P3 = (
    (0.51512, 0.29198, 0.15710),
    (0.24120, 0.69225, 0.06657),
    (-0.00105, 0.04189, 0.78407),
)
WHITE = (0.9642, 1.0, 0.8249)
"""D50. The rows of the matrices are X, Y and Z of red, green and blue, adapted to it."""


@dataclass(frozen=True)
class Profile:
    """A profile of version 2 with a power curve; `matrix` is None for grey levels."""

    gamma: float
    matrix: Sequence[Sequence[float]] | None = SRGB
    name: str = "a test profile"

    def tobytes(self) -> bytes:
        """Return the file."""
        tags = {b"desc": _text(self.name), b"wtpt": _xyz(WHITE)}
        curve = struct.pack(">4s4xIHxx", b"curv", 1, round(self.gamma * 256))
        if self.matrix is None:
            tags[b"kTRC"] = curve
        else:
            tags |= dict(zip((b"rTRC", b"gTRC", b"bTRC"), [curve] * 3, strict=True))
            columns = map(_xyz, zip(*self.matrix, strict=True))
            tags |= dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True))
        return _file(b"GRAY" if self.matrix is None else b"RGB ", tags)

    def srgb(self, values: Any) -> Any:
        """Return the sRGB levels (..., 3) of values (..., 3) in [0, 1]."""
        linear = np.asarray(values, np.float64) ** self.gamma
        if self.matrix is not None:
            linear = linear @ np.array(self.matrix).T @ np.linalg.inv(SRGB).T
        linear = linear.clip(0, 1)
        coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        return 255 * coded


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack(">4s4xI", b"desc", len(data)) + data + bytes(78)


def _xyz(values: Sequence[float]) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65536) for value in values))


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    head, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        head += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = 128 + len(head) + len(body)
    white = struct.pack(">3i", *(round(value * 65536) for value in WHITE))
    header = struct.pack(">I4xI4s4s4s12x4s28x12s", size, 0x02400000, b"mntr", space, b"XYZ ",
                         b"acsp", white)  # fmt: skip
    return header.ljust(128, b"\0") + head + body
