"""Images on the way: how an optimisation looked after 1, 2, 5, 10, 20, 50 ... passes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from harness.records import SNAPSHOT_EDGE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUALITY, EFFORT = 70, 2
"""WebP's settings: about 10 kB each. Nothing is measured on them."""


def wanted(index: int, of: int) -> bool:
    """Tell whether the image of a pass is kept; after the last one it is the stylized image."""
    return index < of and str(index).rstrip("0") in ("1", "2", "5")


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Return uint8 (H, W, 3) as a small WebP."""
    picture = Pillow.fromarray(pixels)
    picture.thumbnail((SNAPSHOT_EDGE, SNAPSHOT_EDGE), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return buffer.getvalue()
