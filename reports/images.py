"""Lossless PNGs on disk -> the images of a page: small WebPs inside it, or files beside it."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from PIL import Image

from harness.store import IMAGE_FORMATS

QUALITY, EFFORT = 85, 2
"""Twice the effort (4, the default) takes twice the time, for files smaller by 3 %."""

EDGES = (512, 384, 256, 192, 128)
"""Long edges of stylized images inside a page, in pixels; the first is the usual one."""

THUMBNAIL = 384
"""Long edge of those in files: the grid shows 184 pixels, on fine screens two for each."""

BUDGET = 16_000_000
"""Characters for images, those on the way aside: what else a page of 25 MB has takes the rest."""

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
    digest: str  # of what is stored
    size: tuple[int, int]
    full: tuple[int, int]
    as_stored: bool = False  # it was small already


class Album(ABC):
    """The images of one page; an image that is used again is not kept again."""

    edge: ClassVar[int]
    """The usual long edge in the page, in pixels."""

    originals: ClassVar[bool]
    """Whether lossless images are there too, to be compared."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], Picture] = {}
        self._digests: dict[tuple[Path, int], str] = {}  # empty where there is no image
        self._ready: dict[tuple[Path, int], Small | None] = {}

    def fitting(self, paths: Sequence[Path]) -> int:
        """Return the largest edge at which the images at `paths` keep the page light."""
        return self.edge

    def expect(self, paths: Sequence[Path], edge: int) -> None:
        """Make images ready on all cores at once: it is most of the work of a page."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(partial(_small, edge=edge), paths)
            self._ready |= {(path, edge): one for path, one in zip(paths, found, strict=True)}

    def picture(self, path: Path | None, edge: int) -> Picture | None:
        """Return the image at `path` with at most `edge` pixels, or None where there is none."""
        if path is None:
            return None
        place = (path, edge)
        if place not in self._digests:
            small = self._ready.pop(place) if place in self._ready else _small(path, edge)
            self._digests[place] = small.digest if small else ""
            if small and (small.digest, edge) not in self._kept:
                self._kept[small.digest, edge] = self._keep(path, edge, small)
                return self._kept[small.digest, edge]
        kept = self._kept.get((self._digests[place], edge))
        return self._again(kept) if kept else None

    @abstractmethod
    def _keep(self, path: Path, edge: int, small: Small) -> Picture:
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

    def _keep(self, path: Path, edge: int, small: Small) -> Picture:
        text = base64.b64encode(small.webp).decode()
        sizes = f"{_pixels(small.size)} of {_pixels(small.full)}"
        note = f"shown at {sizes} pixels" if small.size != small.full else ""
        source, key = f"data:image/webp;base64,{text}", f"i{small.digest}-{edge}"
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

    def _keep(self, path: Path, edge: int, small: Small) -> Picture:
        source, original = f"images/{small.digest}-{edge}.webp", f"images/{small.digest}.png"
        (self._folder / source).write_bytes(small.webp)
        if small.as_stored:
            return Picture(source, *small.full, original=source)
        shutil.copyfile(path, self._folder / original)
        return Picture(source, *small.full, original=original)


def _small(path: Path, edge: int) -> Small | None:
    """Return an image made smaller, or None: the page says that it is missing."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            full, small = image.size, image.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None
    digest = hashlib.sha256(data).hexdigest()[:16]
    if image.format == "WEBP" and max(full) <= edge:  # not compressed twice
        return Small(data, digest, full, full, as_stored=True)
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return Small(buffer.getvalue(), digest, small.size, full)


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
