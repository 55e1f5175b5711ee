"""Lossless PNGs on disk -> the images of a page: small WebPs inside it, or files beside it."""

from __future__ import annotations

import base64
import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from PIL import Image

QUALITY, EFFORT = 85, 2
"""Twice the effort (4, the default) takes twice the time, for files smaller by 3 %."""

EDGES = (512, 384, 256, 192, 128)
"""Long edges of stylized images inside a page, in pixels; the first is the usual one."""

THUMBNAIL = 384
"""Long edge of those in files: the grid shows 184 pixels, on fine screens two for each."""

BUDGET = 20_000_000
"""Characters for all stylized images: what else is in a page of 25 MB takes the rest."""

SAMPLE = 16

BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@dataclass(frozen=True)
class Picture:
    """An image in the page: its address, and its size where it is compared."""

    source: str
    width: int
    height: int
    original: str = ""  # where the lossless one is, if it is there too
    note: str = ""  # how much smaller it is here, if it is
    key: str = ""
    first: bool = True  # later uses are blank: the script fills in what the first one shows


@dataclass(frozen=True)
class Small:
    """An image as the page shows it, and its sizes: here, and as it is stored."""

    webp: bytes
    size: tuple[int, int]
    full: tuple[int, int]


class Album(ABC):
    """The images of one page; an image that is used again is not kept again."""

    edge: ClassVar[int]
    """The usual long edge in the page, in pixels."""

    originals: ClassVar[bool]
    """Whether lossless images are there too, to be compared."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], Picture] = {}

    def fitting(self, paths: Sequence[Path]) -> int:
        """Return the largest edge at which the images at `paths` keep the page light."""
        return self.edge

    def picture(self, path: Path | None, edge: int) -> Picture | None:
        """Return the image at `path` with at most `edge` pixels, or None where there is none."""
        if path is None or not path.is_file():
            return None
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()[:16]
        if (kept := self._kept.get((digest, edge))) is not None:
            return self._again(kept)
        try:
            small = _small(data, edge)
        except OSError:  # not an image: the page says that it is missing
            return None
        self._kept[digest, edge] = self._keep(digest, edge, data, small)
        return self._kept[digest, edge]

    @abstractmethod
    def _keep(self, digest: str, edge: int, data: bytes, small: Small) -> Picture:
        """Put an image where the page has it."""

    def _again(self, picture: Picture) -> Picture:
        return picture


class EmbeddedAlbum(Album):
    """Images inside the page; a further use borrows what the first one shows."""

    edge, originals = EDGES[0], False

    def fitting(self, paths: Sequence[Path]) -> int:
        """Return the largest edge at which those at `paths` keep to the budget, by a sample."""
        # Base64 writes three bytes as four; a WebP is hardly larger than the PNG it is made of.
        if sum(path.stat().st_size for path in paths) * 4 / 3 <= BUDGET:
            return self.edge
        album, sample = EmbeddedAlbum(), paths[:: -(-len(paths) // SAMPLE)]
        for edge in EDGES:
            found = [one for path in sample if (one := album.picture(path, edge))]
            mean = sum(len(one.source) for one in found) / max(1, len(found))
            if mean * len(paths) <= BUDGET:
                return edge
        return EDGES[-1]

    def _keep(self, digest: str, edge: int, data: bytes, small: Small) -> Picture:
        text = base64.b64encode(small.webp).decode()
        sizes = f"{_pixels(small.size)} of {_pixels(small.full)}"
        note = f"shown at {sizes} pixels" if small.size != small.full else ""
        source, key = f"data:image/webp;base64,{text}", f"i{digest}-{edge}"
        return Picture(source, *small.size, note=note, key=key)

    def _again(self, picture: Picture) -> Picture:
        return replace(picture, source=BLANK, first=False)


class FolderAlbum(Album):
    """Images in files beside the page: small ones to look through, lossless ones to compare."""

    edge, originals = THUMBNAIL, True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        (folder / "images").mkdir()

    def _keep(self, digest: str, edge: int, data: bytes, small: Small) -> Picture:
        source, original = f"images/{digest}-{edge}.webp", f"images/{digest}.png"
        (self._folder / source).write_bytes(small.webp)
        if small.webp is data:  # it is small as it is stored
            return Picture(source, *small.full, original=source)
        (self._folder / original).write_bytes(data)
        return Picture(source, *small.full, original=original)


def _small(data: bytes, edge: int) -> Small:
    with Image.open(io.BytesIO(data)) as image:
        full, small = image.size, image.convert("RGB")
        if image.format == "WEBP" and max(full) <= edge:  # not compressed twice
            return Small(data, full, full)
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return Small(buffer.getvalue(), small.size, full)


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
