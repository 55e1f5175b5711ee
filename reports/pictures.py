"""Lossless PNGs on disk -> small WebP images inside the page, each of them once."""

from __future__ import annotations

import base64
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

QUALITY, EFFORT = 85, 2
"""Twice the effort (4, the default) takes twice the time, for files smaller by 3 %."""

BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@dataclass(frozen=True)
class Picture:
    """An image in the page. After its first use `source` is blank: the script fills it in."""

    key: str
    source: str
    width: int
    height: int
    first: bool


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
            return Picture(key, BLANK, seen.width, seen.height, first=False)
        try:
            source, width, height = _webp(data, edge)
        except OSError:  # not an image: the page says that it is missing
            return None
        self._seen[key] = Picture(key, source, width, height, first=True)
        return self._seen[key]


def _webp(data: bytes, edge: int) -> tuple[str, int, int]:
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/webp;base64,{text}", small.width, small.height
