"""Turn lossless images on disk into images of a page: embedded WebPs, or files next to it."""

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
"""WebP settings. The default effort of 4 takes twice the time for files 3 % smaller."""

EDGES = (512, 384, 256, 192, 128)
"""Long edges of embedded images in pixels; smaller ones are used if the page becomes too large."""

THUMBNAIL_EDGE = 384
"""Long edge of thumbnail files in pixels: the grid shows 184 pixels, at up to double density."""

BUDGET = 16_000_000
"""Characters for embedded images except intermediate ones, in a page of at most 25 MB."""

SAMPLE_SIZE = 16
"""Number of images from which `EmbeddedAlbum` estimates the mean size."""

BLANK = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@dataclass(frozen=True)
class Picture:
    """An image in the page: its address, and its size in the comparison dialog."""

    source: str
    width: int
    height: int
    original: str = ""  # address of the lossless image, if the page has one
    note: str = ""  # states the reduced size, if it is reduced
    key: str = ""  # id of the embedded image
    first: bool = True  # later uses have a blank source, which the script replaces


@dataclass(frozen=True)
class Thumbnail:
    """A compressed image, with its size and the size of the stored image."""

    webp: bytes
    digest: str  # of the stored file
    size: tuple[int, int]
    full_size: tuple[int, int]
    as_stored: bool = False  # the stored file is small enough and used as it is


class Album(ABC):
    """The images of one page. An image that is used several times is stored once."""

    edge: ClassVar[int]
    """The largest long edge in the page, in pixels."""

    originals: ClassVar[bool]
    """Whether the page also has the lossless images, for comparison."""

    def __init__(self) -> None:
        self._pictures: dict[tuple[str, int], Picture] = {}
        self._digests: dict[tuple[Path, int], str] = {}  # an empty string if the image is missing
        self._prepared: dict[tuple[Path, int], Thumbnail | None] = {}

    def choose_edge(self, paths: Sequence[Path]) -> int:
        """Return the largest edge at which the images at `paths` fit into the page."""
        return self.edge

    def prepare(self, paths: Sequence[Path], edge: int) -> None:
        """Compress images on all cores, since this is most of the work of a page."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            thumbnails = pool.map(partial(_thumbnail, edge=edge), paths)
            self._prepared |= {(p, edge): one for p, one in zip(paths, thumbnails, strict=True)}

    def picture(self, path: Path | None, edge: int) -> Picture | None:
        """Return the image at `path` with a long edge of at most `edge`, or None if missing."""
        if path is None:
            return None
        key = (path, edge)
        if key not in self._digests:
            prepared = key in self._prepared
            thumbnail = self._prepared.pop(key) if prepared else _thumbnail(path, edge)
            self._digests[key] = thumbnail.digest if thumbnail else ""
            if thumbnail and (thumbnail.digest, edge) not in self._pictures:
                picture = self._add(path, edge, thumbnail)
                self._pictures[thumbnail.digest, edge] = picture
                return picture
        known = self._pictures.get((self._digests[key], edge))
        return self._reuse(known) if known else None

    @abstractmethod
    def _add(self, path: Path, edge: int, thumbnail: Thumbnail) -> Picture:
        """Store an image for its first use in the page."""

    def _reuse(self, picture: Picture) -> Picture:
        """Return the picture for a further use of the same image."""
        return picture


class EmbeddedAlbum(Album):
    """Images embedded in the page. Further uses refer to the first one."""

    edge, originals = EDGES[0], False

    def choose_edge(self, paths: Sequence[Path]) -> int:
        """Return the largest edge at which a sample of `paths` suggests that all fit the budget."""
        # Base64 encodes three bytes as four, and a WebP is rarely larger than its PNG.
        if sum(path.stat().st_size for path in paths) * 4 / 3 <= BUDGET:
            return self.edge
        album, sample = EmbeddedAlbum(), paths[:: -(-len(paths) // SAMPLE_SIZE)]
        for edge in EDGES:
            pictures = [one for path in sample if (one := album.picture(path, edge))]
            mean = sum(len(one.source) for one in pictures) / max(1, len(pictures))
            if mean * len(paths) <= BUDGET:
                return edge
        return EDGES[-1]

    def _add(self, path: Path, edge: int, thumbnail: Thumbnail) -> Picture:
        text = base64.b64encode(thumbnail.webp).decode()
        size, full_size = thumbnail.size, thumbnail.full_size
        sizes = f"{_pixels(size)} of {_pixels(full_size)}"
        note = f"shown at {sizes} pixels" if size != full_size else ""
        source, key = f"data:image/webp;base64,{text}", f"i{thumbnail.digest}-{edge}"
        return Picture(source, *size, note=note, key=key)

    def _reuse(self, picture: Picture) -> Picture:
        return replace(picture, source=BLANK, first=False)


class FolderAlbum(Album):
    """Images in files next to the page: thumbnails for the grid, lossless images for comparison."""

    edge, originals = THUMBNAIL_EDGE, True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        (folder / "images").mkdir()

    def _add(self, path: Path, edge: int, thumbnail: Thumbnail) -> Picture:
        digest, full_size = thumbnail.digest, thumbnail.full_size
        source, original = f"images/{digest}-{edge}.webp", f"images/{digest}.png"
        (self._folder / source).write_bytes(thumbnail.webp)
        if thumbnail.as_stored:
            return Picture(source, *full_size, original=source)
        shutil.copyfile(path, self._folder / original)
        return Picture(source, *full_size, original=original)


def _thumbnail(path: Path, edge: int) -> Thumbnail | None:
    """Return a compressed copy of an image, or None if it cannot be read."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            full_size, pixels = image.size, image.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None
    digest = hashlib.sha256(data).hexdigest()[:16]
    if image.format == "WEBP" and max(full_size) <= edge:  # avoid compressing twice
        return Thumbnail(data, digest, full_size, full_size, as_stored=True)
    pixels.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    pixels.save(buffer, "WEBP", quality=QUALITY, method=EFFORT)
    return Thumbnail(buffer.getvalue(), digest, pixels.size, full_size)


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} × {size[1]}"
