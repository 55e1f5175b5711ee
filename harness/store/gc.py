"""Files that no run of a suite refers to: cells, fits, inputs, checkpoints, incomplete files.

A run refers to its planned cells, and those to their fits and images. The latest run counts, and
so does each run in `history/`. Only names that nstbench creates are considered, symbolic links are
not followed, and files that a run may still need are kept.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from harness import filesystem
from harness.errors import RecordError, StoreError
from harness.records import Record
from harness.store.folder import OUT_HINT
from harness.store.store import Store

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

ID = re.compile(r"[0-9a-f]{12}")
HISTORY = re.compile(r"\d.*\.json")
CHECKPOINT = re.compile(r"[0-9a-f]{12}\b.*")
INPUT = re.compile(r"[^.].*-\d+-[0-9a-f]{12}\.png")

DAY = 24 * 3600.0
MAX_WRITE_SECONDS = DAY
"""An incomplete file of another machine is abandoned after this time."""

MAX_CHECKPOINT_SECONDS = 30 * DAY
"""A checkpoint is abandoned after this time without progress."""


@dataclass(frozen=True)
class GarbageGroup:
    """Unreferenced files of one kind."""

    kind: str
    paths: Sequence[Path]
    megabytes: float
    kept: str = ""  # why the files are not removed; empty if they are


def find(
    store: Store, *, latest_only: bool = False, unreadable: bool = False
) -> list[GarbageGroup]:
    """Return the files that no run refers to, by kind, without removing any.

    Args:
        store: The results of a suite.
        latest_only: Ignore earlier runs, and return their files too.
        unreadable: Mark cells for removal whose record this version cannot read.

    Raises:
        RecordError: There are no results, or the cells of a run cannot be read.
    """
    history = _named(store, "history", HISTORY)  # the latest run last
    ignored = history[:-1] if latest_only else []
    latest = _cells_of(_latest(store))
    needed = {*latest, *(cell for p in history if p not in ignored for cell in _cells_of(p))}
    cells = _named(store, "cells", ID)
    records = {path: record for path in cells if (record := _record(store, path.name))}
    unneeded = [path for path in cells if path.name not in needed]
    broken = [path for path in unneeded if path not in records]
    kept = [record for path, record in records.items() if path.name in needed]
    reason = _reason_to_keep(cells, records, [] if not unreadable else broken, latest)
    return [group for group in (
        _group("files of earlier runs",
               [p for path in ignored for p in (path, path.with_suffix(".yaml"))]),
        _group("cells", [path for path in unneeded if path in records]),
        _group("cells that cannot be read", broken,
               "" if unreadable else "--unreadable removes them too"),
        _group("fits", _exclude(_named(store, "fits", ID), {r.cell.fit_id for r in kept}), reason),
        _group("inputs", _exclude(_named(store, "inputs", INPUT), _inputs(store, kept)), reason),
        _group("checkpoints", _checkpoints(store, kept)),
        _group("half-written", [part for part in store.partial_files() if _is_abandoned(part)]),
    ) if group.paths]  # fmt: skip


def remove(store: Store, groups: Iterable[GarbageGroup]) -> None:
    """Remove the files of each group, except those that have a reason to be kept.

    Raises:
        StoreError: A file cannot be removed.
    """
    with filesystem.writing(store.root, OUT_HINT):
        for group in groups:
            for path in () if group.kept else group.paths:
                filesystem.remove(path)


def lock_or_raise(store: Store, *, writing: bool) -> AbstractContextManager[object]:
    """Hold the lock of a suite without waiting for it, so that no run starts meanwhile.

    Without `writing`, a folder that has no lock file is not locked, and the file is not changed.

    Raises:
        StoreError: A run has the lock.
    """
    path = store.root / ".lock"
    try:
        if not writing:
            return _share(path) if path.exists() and fcntl else nullcontext()
        with filesystem.writing(store.root, OUT_HINT):
            return FileLock(path, timeout=0).acquire()
    except (Timeout, BlockingIOError):
        raise StoreError(
            f"{store.root}: a run is in progress. Wait until it ends and repeat the command."
        ) from None


def _share(path: Path) -> BinaryIO:
    """Lock a file against runs without writing to it: FileLock would change its time stamp."""
    file = path.open("rb")
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def suites(out: Path) -> list[str]:
    """Return the names of the suites that have results in a folder."""
    return sorted(path.parent.name for path in out.glob("*/run.json"))


def _group(kind: str, paths: Iterable[Path], kept: str = "") -> GarbageGroup:
    existing = [path for path in paths if path.exists() or path.is_symlink()]
    return GarbageGroup(kind, existing, sum(map(_size, existing)) / 1e6, kept)


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return sum(entry.lstat().st_size for entry in (path, *inside) if not entry.is_dir())


def _named(store: Store, folder: str, name: re.Pattern[str]) -> list[Path]:
    """Return the entries of a folder of the suite whose names match a pattern, sorted."""
    parent = store.root / folder
    paths = () if parent.is_symlink() else parent.glob("*")
    return sorted(path for path in paths if name.fullmatch(path.name))


def _exclude(paths: Iterable[Path], needed: Collection[str]) -> list[Path]:
    return [path for path in paths if path.name not in needed]


def _latest(store: Store) -> Path:
    path = store.root / "run.json"
    if not path.exists():
        store.run()  # raises the error for a suite without results
    return path


def _reason_to_keep(
    cells: Sequence[Path],
    records: Collection[Path],
    broken: Collection[Path],
    latest: Sequence[str],
) -> str:
    """Return why fits and inputs may still be needed; empty if they are not."""
    if any(path not in records and path not in broken for path in cells):
        return "a cell that cannot be read may need them"
    if not {path.name for path in cells}.issuperset(latest):
        return "a cell that has not run yet may need them"
    return ""


def _cells_of(path: Path) -> list[str]:
    """Return the ids of a run's cells; works for runs of every schema version."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
    except (ValueError, KeyError, TypeError):
        cells = None
    if not isinstance(cells, list) or not all(isinstance(cell, str) for cell in cells):
        raise RecordError(
            f"{path} cannot be read, so it is unknown which files that run needs; nothing was "
            "removed. Delete the file if the run is no longer needed."
        )
    return cells


def _record(store: Store, cell_id: str) -> Record | None:
    try:
        return store.read(cell_id)
    except RecordError:
        return None


def _inputs(store: Store, records: Iterable[Record]) -> set[str]:
    return {
        store.input_path(image, record.cell.size).name
        for record in records
        for image in (record.cell.content, record.cell.style)
    }


def _checkpoints(store: Store, kept: Iterable[Record]) -> Iterator[Path]:
    """Yield the checkpoints of completed cells and fits, and those without recent progress."""
    completed = {record.cell.id for record in kept if record.ok}
    completed |= {path.name for path in _named(store, "fits", ID)}
    for path in _named(store, "checkpoints", CHECKPOINT):
        if path.name.partition(".")[0] in completed or _age(path) > MAX_CHECKPOINT_SECONDS:
            yield path


def _is_abandoned(part: Path) -> bool:
    return filesystem.abandoned(part) or _age(part) > MAX_WRITE_SECONDS


def _age(path: Path) -> float:
    """Return seconds since the last change; 0 if the file was completed and renamed meanwhile."""
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0
