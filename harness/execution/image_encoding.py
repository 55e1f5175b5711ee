"""Encode an outcome's pixels as files, in a process that has time for it: not the timed worker."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from harness.execution.jobs import Encoded, Outcome
from harness.records import SNAPSHOT_EDGE
from harness.resources.images import to_png

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEBP_QUALITY, WEBP_EFFORT = 70, 2
"""About 10 kB per snapshot. No metric is measured on snapshots."""


def encode_images(outcome: Outcome) -> Encoded:
    """Return the stylized image as PNG and the snapshots as WebP."""
    png = None if outcome.pixels is None else to_png(outcome.pixels)
    webps = {step: encode_snapshot(pixels) for step, pixels in outcome.snapshots.items()}
    return Encoded(png, webps)


def encode_snapshot(pixels: NDArray[np.uint8]) -> bytes:
    """Return uint8 (H, W, 3) as a WebP with a long edge of at most SNAPSHOT_EDGE pixels."""
    picture = Pillow.fromarray(pixels)
    picture.thumbnail((SNAPSHOT_EDGE, SNAPSHOT_EDGE), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=WEBP_QUALITY, method=WEBP_EFFORT)
    return buffer.getvalue()
