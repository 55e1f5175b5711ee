"""What takes long to find out about a file, remembered until the file changes.

`<cache folder>/files.sqlite` has one row per file and question. A file is taken for unchanged while
its size, its inode and both its times are the same; one that changed just now is not remembered,
since the clock is too coarse to tell a second change from the first. A memory that cannot be read
or written costs time alone, and any number of processes may share it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import platformdirs

SETTLED_SECONDS = 2.0
"""Coarser than any file system's clock."""

WAIT_SECONDS = 1.0
"""For another process to finish writing; after that the answer is not kept."""

_TABLE = """
CREATE TABLE IF NOT EXISTS known (
    path TEXT, question TEXT, stamp TEXT, answer TEXT, PRIMARY KEY (path, question)
)"""


def cache_folder() -> Path:
    """Return where fetched files are kept: NSTBENCH_CACHE, or the user's cache folder."""
    return Path(os.environ.get("NSTBENCH_CACHE") or platformdirs.user_cache_dir("nstbench"))


def recall(paths: Sequence[Path], question: str, find: Callable[[Path], str]) -> list[str]:
    """Return an answer for every file: the remembered one, or else what `find` says.

    Args:
        paths: The files; what cannot be opened is for `find` to complain of.
        question: What is asked, together with all that the answer hangs on besides the file.
        find: Finds the answer out. What it raises is passed on, and not remembered.
    """
    stamps = {path: _stamp(path) for path in paths}
    known = _read(question, stamps)
    new = {path: find(path) for path in stamps if path not in known}
    settled = time.time() - SETTLED_SECONDS
    # Only what was the same before and after, and had time to settle, is known for certain.
    _write(question, {p: (s, new[p]) for p, s in stamps.items()
                      if p in new and s == _stamp(p, not_after=settled)})  # fmt: skip
    return [known.get(path) or new[path] for path in paths]


def _stamp(path: Path, not_after: float = float("inf")) -> str:
    """Return what changes when a file does; nothing where it is not there or changed too late."""
    try:
        found = path.stat()
    except OSError:
        return ""
    if max(found.st_mtime, found.st_ctime) > not_after:
        return ""
    return f"{found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def _read(question: str, stamps: Mapping[Path, str]) -> dict[Path, str]:
    found: dict[Path, str] = {}
    select = "SELECT answer FROM known WHERE path = ? AND question = ? AND stamp = ?"

    def read(memory: sqlite3.Connection) -> None:
        for path, stamp in stamps.items():
            for (answer,) in memory.execute(select, (str(path.absolute()), question, stamp)):
                found[path] = answer

    if _file().exists():
        _use(read)
    return found


def _write(question: str, answers: Mapping[Path, tuple[str, str]]) -> None:
    rows = [(str(p.absolute()), question, stamp, answer) for p, (stamp, answer) in answers.items()]

    def write(memory: sqlite3.Connection) -> None:
        memory.execute(_TABLE)
        memory.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)", rows)

    if rows:
        _use(write)


def _use(work: Callable[[sqlite3.Connection], None]) -> None:
    """Open the memory and work with it; what goes wrong is passed over."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(_file(), timeout=WAIT_SECONDS)) as memory, memory:
            work(memory)
    except (sqlite3.OperationalError, OSError):
        return  # it is locked, or of another owner
    except sqlite3.DatabaseError:
        with suppress(OSError):  # broken: the next process begins a new one
            _file().unlink(missing_ok=True)


def _file() -> Path:
    return cache_folder() / "files.sqlite"
