"""Full disks, file size limits, and the incomplete files that they must not leave behind."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import filesystem


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill a disk except for `leave` bytes; return the file that fills it."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(folder).free - leave))
    return ballast


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def incomplete_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(filesystem.PART)]
