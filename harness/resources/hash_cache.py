"""Cache slow properties of files, such as hashes, until the file changes.

`<cache folder>/files.sqlite` has one row per file and question. An entry is valid while size,
inode, modification time and change time of the file are the same. Results for files that changed
within the last seconds are not stored, since a further change might have the same time stamps. If
the cache cannot be read or written, results are computed again. Processes can share it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import platformdirs

from harness.errors import UsageError
from harness.filesystem import expanded

SETTLED_SECONDS = 2.0
"""Longer than the time resolution of any file system."""

WAIT_SECONDS = 1.0
"""Time to wait for the lock of another process; after that the result is not stored."""

_TABLE = """
CREATE TABLE IF NOT EXISTS known (
    path TEXT, question TEXT, stamp TEXT, answer TEXT, PRIMARY KEY (path, question)
)"""


def cache_folder() -> Path:
    """Return the folder of downloaded files: NSTBENCH_CACHE, or the user's cache folder.

    Raises:
        UsageError: Neither is known.
    """
    if given := os.environ.get("NSTBENCH_CACHE"):
        return expanded(given)
    try:
        folder = Path(platformdirs.user_cache_dir("nstbench"))
    except RuntimeError:  # no HOME, and the user has no entry in the list of users
        folder = Path()
    if not folder.is_absolute():  # platformdirs before 4.4 leaves the ~
        raise UsageError(
            "The folder for downloaded files is unknown, because this user has no home folder. Set "
            "NSTBENCH_CACHE to a folder, as in NSTBENCH_CACHE=/tmp/nstbench, or set HOME."
        )
    return folder


_writable = True


@contextmanager
def read_only() -> Iterator[None]:
    """Leave the cache folder unchanged during a block, for commands that only report."""
    global _writable
    before, _writable = _writable, False
    try:
        yield
    finally:
        _writable = before


def writable() -> bool:
    """Return False inside of `read_only`."""
    return _writable


def cached(paths: Sequence[Path], question: str) -> dict[Path, str]:
    """Return the cached results, by file."""
    return _read(question, {path: _stamp(path) for path in paths})


def recall(
    paths: Sequence[Path],
    question: str,
    compute: Callable[[Path], str],
    run: Callable[[Callable[[Path], str], Iterable[Path]], Iterable[str]] = map,
) -> list[str]:
    """Return a result for every file: the cached one, or that of `compute`.

    Args:
        paths: The files. Missing ones are passed to `compute`.
        question: Identifies the property and everything besides the file that it depends on.
        compute: Computes the property. Its exceptions are passed on and not cached. An empty result
            is not cached either.
        run: Maps `compute` to files, for example in parallel.
    """
    stamps = {path: _stamp(path) for path in paths}
    known = _read(question, stamps)
    unknown = [path for path in stamps if path not in known]
    new = dict(zip(unknown, run(compute, unknown), strict=True))
    settled = time.time() - SETTLED_SECONDS
    # Store results only for files that did not change meanwhile or shortly before.
    _write(question, {p: (s, new[p]) for p, s in stamps.items()
                      if new.get(p) and s == _stamp(p, not_after=settled)})  # fmt: skip
    return [known.get(path) or new[path] for path in paths]


def _stamp(path: Path, not_after: float = float("inf")) -> str:
    """Return size, inode and times; empty if the file is missing or changed after `not_after`."""
    try:
        stat = path.stat()
    except OSError:
        return ""
    if max(stat.st_mtime, stat.st_ctime) > not_after:
        return ""
    return f"{stat.st_size} {stat.st_ino} {stat.st_mtime_ns} {stat.st_ctime_ns}"


def _read(question: str, stamps: Mapping[Path, str]) -> dict[Path, str]:
    answers: dict[Path, str] = {}
    select = "SELECT answer FROM known WHERE path = ? AND question = ? AND stamp = ?"

    def read(database: sqlite3.Connection) -> None:
        for path, stamp in stamps.items():
            for (answer,) in database.execute(select, (str(path.absolute()), question, stamp)):
                answers[path] = answer

    if _file().exists():
        _use(read)
    return answers


def _write(question: str, answers: Mapping[Path, tuple[str, str]]) -> None:
    rows = [(str(p.absolute()), question, stamp, answer) for p, (stamp, answer) in answers.items()]

    def write(database: sqlite3.Connection) -> None:
        database.execute(_TABLE)
        database.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)", rows)

    if rows and _writable:
        _use(write)


def _use(work: Callable[[sqlite3.Connection], None]) -> None:
    """Call `work` with the open database; ignore errors."""
    try:
        if _writable:
            _file().parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(_file(), timeout=WAIT_SECONDS)) as database, database:
            work(database)
    except (sqlite3.OperationalError, OSError):
        return  # locked or not writable
    except sqlite3.DatabaseError:
        with suppress(OSError):  # corrupt: the next process creates a new one
            if _writable:
                _file().unlink(missing_ok=True)


def _file() -> Path:
    return cache_folder() / "files.sqlite"
