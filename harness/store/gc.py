"""What no run of a suite refers to any more: cells, fits, inputs, checkpoints, half-written files.

A run refers to the cells that it planned, they to their fits and images. The latest run counts,
and every one of `history/`. Only what nstbench names so itself is looked at, links are not
followed, and what cannot be told for certain is kept.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from harness import filesystem
from harness.errors import RecordError, StoreError
from harness.records import Record
from harness.store.store import ELSEWHERE, Store

ID = re.compile(r"[0-9a-f]{12}")
MOMENT = re.compile(r"\d.*\.json")
CHECKPOINT = re.compile(r"[0-9a-f]{12}\b.*")
INPUT = re.compile(r"[^.].*-\d+-[0-9a-f]{12}\.png")

DAY = 24 * 3600.0
STALE_SECONDS = DAY
"""Nothing takes so long to write: what another machine left half-written is abandoned by then."""

RESUMED_SECONDS = 30 * DAY
"""Who has not gone on with an interrupted cell by then does not mean to."""


@dataclass(frozen=True)
class GarbageGroup:
    """Rubbish of one kind."""

    kind: str
    paths: Sequence[Path]
    megabytes: float
    kept: str = ""  # why it stays, where it does


def find(
    store: Store, *, latest_only: bool = False, unreadable: bool = False
) -> list[GarbageGroup]:
    """Return what nobody needs any more, by kind; nothing is removed.

    Args:
        store: The suite's.
        latest_only: Leave earlier runs out of account: they are rubbish themselves then.
        unreadable: Take in cells whose record this version cannot read.

    Raises:
        RecordError: There are no results, or what a run refers to cannot be read.
    """
    moments = _moments(store)
    forgotten = moments[:-1] if latest_only else []
    latest = _cells_of(_latest(store))
    needed = {*latest, *(cell for p in moments if p not in forgotten for cell in _cells_of(p))}
    cells = _named(store, "cells", ID)
    records = {path: record for path in cells if (record := _record(store, path.name))}
    left = [path for path in cells if path.name not in needed]
    broken = [path for path in left if path not in records]
    kept = [record for path, record in records.items() if path.name in needed]
    why = _doubt(cells, records, [] if not unreadable else broken, latest)
    return [heap for heap in (
        _heap("files of earlier runs",
              [p for one in forgotten for p in (one, one.with_suffix(".yaml"))]),
        _heap("cells", [path for path in left if path in records]),
        _heap("cells that cannot be read", broken,
              "" if unreadable else "--unreadable takes them too"),
        _heap("fits", _exclude(_named(store, "fits", ID), {r.cell.fit_id for r in kept}), why),
        _heap("inputs", _exclude(_named(store, "inputs", INPUT), _used(store, kept)), why),
        _heap("checkpoints", _checkpoints(store, kept)),
        _heap("half-written", [part for part in store.parts() if _abandoned(part)]),
    ) if heap.paths]  # fmt: skip


def remove(store: Store, heaps: Iterable[GarbageGroup]) -> None:
    """Remove what was found.

    Raises:
        StoreError: The disk refuses.
    """
    with filesystem.writing(store.root, ELSEWHERE):
        for heap in heaps:
            for path in () if heap.kept else heap.paths:
                filesystem.remove(path)


def alone(store: Store, *, writing: bool) -> AbstractContextManager[object]:
    """Hold the lock of a suite, that no run begins meanwhile.

    Raises:
        StoreError: A run has it.
    """
    path = store.root / ".lock"
    if not writing and not (path.exists() and os.access(path, os.W_OK)):
        return nullcontext()
    try:
        with filesystem.writing(store.root, ELSEWHERE):
            return FileLock(path, timeout=0).acquire()
    except Timeout:
        raise StoreError(
            f"{store.root}: a run is at work there. Wait for its end, then the same command does."
        ) from None


def suites(out: Path) -> list[str]:
    """Return the suites that have results in a folder."""
    return sorted(path.parent.name for path in out.glob("*/run.json"))


def _heap(kind: str, paths: Iterable[Path], kept: str = "") -> GarbageGroup:
    there = [path for path in paths if path.exists() or path.is_symlink()]
    return GarbageGroup(kind, there, sum(map(_size, there)) / 1e6, kept)


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return sum(one.lstat().st_size for one in (path, *inside) if not one.is_dir())


def _named(store: Store, folder: str, name: re.Pattern[str]) -> list[Path]:
    """Return what is in a folder of the suite's under names of ours."""
    inside = store.root / folder
    paths = () if inside.is_symlink() else inside.glob("*")
    return sorted(path for path in paths if name.fullmatch(path.name))


def _exclude(paths: Iterable[Path], needed: Collection[str]) -> list[Path]:
    return [path for path in paths if path.name not in needed]


def _moments(store: Store) -> list[Path]:
    """Return the files of the history's runs, the latest last."""
    return _named(store, "history", MOMENT)


def _latest(store: Store) -> Path:
    path = store.root / "run.json"
    if not path.exists():
        store.run()  # raises, and says what to do
    return path


def _doubt(
    cells: Sequence[Path],
    records: Collection[Path],
    broken: Collection[Path],
    latest: Sequence[str],
) -> str:
    """Say why nobody can tell which fits and images are needed; empty where one can."""
    if any(path not in records and path not in broken for path in cells):
        return "a cell that cannot be read may need them"
    if not {path.name for path in cells}.issuperset(latest):
        return "a cell that is yet to run may need them"
    return ""


def _cells_of(path: Path) -> list[str]:
    """Return the cells of a run, of whichever version."""
    try:
        found = json.loads(path.read_bytes())["cells"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise RecordError(
            f"{path} cannot be read: what that run refers to is not known, so all is kept. "
            "Delete the file where nobody needs that run."
        )
    return found


def _record(store: Store, cell_id: str) -> Record | None:
    try:
        return store.read(cell_id)
    except RecordError:
        return None


def _used(store: Store, records: Iterable[Record]) -> set[str]:
    return {
        store.input_path(image, record.cell.size).name
        for record in records
        for image in (record.cell.content, record.cell.style)
    }


def _checkpoints(store: Store, kept: Iterable[Record]) -> Iterator[Path]:
    """Yield those of what has come to its end, and those that nobody went on from for long."""
    ended = {record.cell.id for record in kept if record.ok}
    ended |= {path.name for path in _named(store, "fits", ID)}
    for path in _named(store, "checkpoints", CHECKPOINT):
        if path.name.partition(".")[0] in ended or _age(path) > RESUMED_SECONDS:
            yield path


def _abandoned(part: Path) -> bool:
    return filesystem.abandoned(part) or _age(part) > STALE_SECONDS


def _age(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:  # finished by now
        return 0
