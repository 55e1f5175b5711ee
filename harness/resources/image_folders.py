"""Find the photographs in a folder, and those of them that cannot be used."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL
from PIL import Image as Pillow

from harness.errors import ImageError
from harness.resources.downloads import sha256_of
from harness.resources.hash_cache import cached, recall
from harness.resources.images import MAX_PIXELS, MIN_EDGE, read, register_heif
from harness.resources.progress_bar import with_progress

CHUNK = 1024
"""Files after which the results are stored, so that an interrupted examination can continue."""

THREADS = min(8, os.cpu_count() or 1)
"""Pillow decodes outside of Python's lock; more threads than this wait for the lock."""

OTHER_FORMATS = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF")
"""Formats that Pillow lists among images, although their files hold documents, data or films."""

UNREADABLE = frozenset({".heic", ".heif", ".hif", ".jxl"})
"""Suffixes of photographs that Pillow reads only with a plug-in."""

_QUESTION = f"SHA-256 if usable 1, {MIN_EDGE} to {MAX_PIXELS}, Pillow {PIL.__version__}"
_REASON = "!"
"""Prefix of a reason, where the answer is not a hash."""


def image_files(folder: Path, report: Callable[[Path, str], None] | None = None) -> list[Path]:
    """Return the image files below a folder and below the folders that it links to, sorted.

    Every folder is visited once, by its own path rather than that of a link, so loops end.

    Args:
        folder: Where to start.
        report: Receives photographs that Pillow cannot read, links to missing files, and folders
            that cannot be read, with the reason.
    """
    register_heif()
    known = Pillow.registered_extensions()
    report = report or (lambda path, why: None)
    files = []
    for path in _walk(folder, report):
        suffix = path.suffix.lower()
        if suffix in known and path.is_file():
            files.append(path)
        elif suffix in known and path.is_symlink():
            report(path, "links to a file that does not exist")
        elif suffix in UNREADABLE:
            report(path, "has a format that Pillow cannot read; convert it to JPEG")
    return sorted(files)


def _walk(folder: Path, report: Callable[[Path, str], None]) -> Iterator[Path]:
    """Yield everything that is not a folder, real folders first."""
    waiting, seen = [str(folder)], set()
    for start in waiting:  # grows by the links
        for parent, folders, names in os.walk(
            start, onerror=lambda error: report(Path(error.filename), _unreadable(error))
        ):
            stat = os.stat(parent)  # noqa: PTH116 - with strings, the walk takes half the time
            if (stat.st_dev, stat.st_ino) in seen:
                folders.clear()
                continue
            seen.add((stat.st_dev, stat.st_ino))
            paths = [os.path.join(parent, name) for name in sorted(folders)]  # noqa: PTH118
            waiting += [path for path in paths if os.path.islink(path)]  # noqa: PTH114
            yield from (Path(parent, name) for name in names)


def why_no_photograph(path: Path) -> str:
    """Return why a file is no photograph by its name; empty if it can be one."""
    if path.name.startswith("._"):
        return "is metadata of macOS"
    format_ = Pillow.registered_extensions().get(path.suffix.lower(), "")
    return f"has the format {format_}, which cannot be used" if format_ in OTHER_FORMATS else ""


def hash_usable(files: Sequence[Path]) -> tuple[dict[Path, str], dict[Path, str]]:
    """Decode files; return the SHA-256 of each usable one, and the reason for each other one.

    The results are cached until a file changes. Progress is shown on stderr.
    """
    answers = cached(files, _QUESTION)
    new = [path for path in files if path not in answers]
    for path, answer in with_progress("examining photographs", _examine(new), len(new)):
        answers[path] = answer or f"{_REASON}cannot be read; check its permissions"
    hashes = {path: answers[path] for path in files if not answers[path].startswith(_REASON)}
    reasons = {path: answers[path][1:] for path in files if path not in hashes}
    return hashes, reasons


def _examine(files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="photographs")
    # `read` changes the filters of the process; threads would restore each other's.
    with pool, warnings.catch_warnings(action="ignore"):
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            yield from zip(chunk, recall(chunk, _QUESTION, _answer, pool.map), strict=True)


def _answer(path: Path) -> str:
    """Return the hash of a usable file, or a reason; empty if the disk cannot be read."""
    try:
        if not path.stat().st_size:
            return f"{_REASON}is empty"
        with path.open("rb"):
            pass  # a permission is no property of the file: this answer is not cached
        read(path, reduced=True)
        return sha256_of(path)
    except ImageError as error:
        if why := why_no_photograph(path):
            return f"{_REASON}{why}"
        why = str(error).removeprefix(f"{path} ").replace(f" {str(path)!r}", "").rstrip(".")
        return f"{_REASON}{why}"
    except OSError:
        return ""


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"
