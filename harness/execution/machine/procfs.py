"""Linux tells of itself by files. They are read between timed calls, so without any ado.

A text file by pathlib takes a fifth of a millisecond when caches are cold, this a tenth.
"""

from __future__ import annotations

import os
from pathlib import Path

ENOUGH = 4096


def begin_of(path: Path) -> str:
    """Return the first 4 kB of a file.

    Raises:
        OSError: It cannot be read; elsewhere than on Linux it is not there.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, ENOUGH).decode("ascii", errors="replace")
    finally:
        os.close(file)


def tell(path: Path, what: str) -> None:
    """Write a word to a file.

    Raises:
        OSError: It cannot be written to; elsewhere than on Linux it is not there.
    """
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, what.encode("ascii"))
    finally:
        os.close(file)
