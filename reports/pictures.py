"""Lossless PNGs on disk -> small WebP images inside the page, each of them once."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

QUALITY, EFFORT = 85, 2
"""Twice the effort (4, the default) takes twice the time, for files smaller by 3 %."""

EDGES = (512, 384, 256, 192, 128)
"""Long edges of stylized images, in pixels; the first is the usual one."""

BUDGET = 20_000_000
"""Characters for all stylized images: what else is in a page of 25 MB takes the rest."""

SAMPLE = 16

BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@dataclass(frozen=True)
class Picture:
    """An image in the page. After its first use `source` is blank: the script fills it in."""

    key: str
    source: str
    width: int
    height: int
    note: str  # how much smaller it is here, if it is
    first: bool


def fitting(paths: Sequence[Path]) -> int:
    """Return the largest edge at which the images at `paths` keep to the budget, by a sample."""
    # Base64 writes three bytes as four; a WebP is hardly larger than the PNG that it is made of.
    if sum(path.stat().st_size for path in paths) * 4 / 3 <= BUDGET:
        return EDGES[0]
    album, sample = Album(), paths[:: -(-len(paths) // SAMPLE)]
    for edge in EDGES:
        found = [one for path in sample if (one := album.picture(path, edge))]
        mean = sum(len(one.source) for one in found) / max(1, len(found))
        if mean * len(paths) <= BUDGET:
            return edge
    return EDGES[-1]


class Album:
    """The images of one page; an image that is used again is not embedded again."""

    def __init__(self) -> None:
        self._seen: dict[str, Picture] = {}

    def picture(self, path: Path | None, edge: int) -> Picture | None:
        """Return the image at `path` with at most `edge` pixels, or None where there is none."""
        if path is None or not path.is_file():
            return None
        data = path.read_bytes()
        key = f"i{hashlib.sha256(data).hexdigest()[:10]}-{edge}"
        if (seen := self._seen.get(key)) is not None:
            return replace(seen, source=BLANK, first=False)
        try:
            source, width, height, note = _webp(data, edge)
        except OSError:  # not an image: the page says that it is missing
            return None
        self._seen[key] = Picture(key, source, width, height, note, first=True)
        return self._seen[key]


def _webp(data: bytes, edge: int) -> tuple[str, int, int, str]:
    with Image.open(io.BytesIO(data)) as image:
        full, small = image.size, image.convert("RGB")
        ready = image.format == "WEBP" and max(full) <= edge  # not compressed twice
    if not ready:
        small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
        data = buffer.getvalue()
    text = base64.b64encode(data).decode()
    note = f"shown at {_pixels(small.size)} of {_pixels(full)} pixels" if small.size != full else ""
    return f"data:image/webp;base64,{text}", small.width, small.height, note


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
