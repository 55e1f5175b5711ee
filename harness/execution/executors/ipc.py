"""How jobs and outcomes travel between processes of one machine: what is large goes by file.

A pipe holds 64 kB; with pixels in it a worker would stand still until a busy parent had read them.
Images and fitted nets that several jobs share are written once, and kept by the worker.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness import filesystem
from harness.execution.jobs import Job, Outcome

KEPT_FILES = 32
"""Many more than the jobs that are under way can name."""

KEPT_IN_WORKER = 4

ELSEWHERE = "choose another folder with TMPDIR"


class Sender:
    """Packs jobs, with files in a folder that is its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: OrderedDict[str, Path] = OrderedDict()

    def pack(self, job: Job) -> bytes:
        """Return a job as bytes that name the files which hold its images and its fitted net."""
        cell = job.cell
        names = {
            id(job.content): self._file(f"{cell.content.sha256}-{cell.size}", job.content),
            id(job.style): self._file(f"{cell.style.sha256}-{cell.size}", job.style),
        }
        if job.kept is not None:
            names[id(job.kept)] = self._file(cell.fit_id, job.kept)
        buffer = io.BytesIO()
        _Pickler(buffer, names).dump(job)
        return buffer.getvalue()

    def _file(self, name: str, large: Any) -> Path:
        if name not in self._files:
            self._files[name] = write(large, self.folder / name)
        self._files.move_to_end(name)
        if len(self._files) > KEPT_FILES:
            self._files.popitem(last=False)[1].unlink()
        return self._files[name]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, names: dict[int, Path]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = names

    def persistent_id(self, what: Any) -> str | None:
        path = self._names.get(id(what))
        return str(path) if path else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, path: str) -> Any:
        return _large(path)


@lru_cache(maxsize=KEPT_IN_WORKER)
def _large(path: str) -> Any:
    with open(path, "rb") as file:  # noqa: PTH123
        return pickle.load(file)


def unpack(packed: bytes) -> Job:
    """Return the job that a Sender packed. Its arrays are shared with other jobs: read only."""
    job: Job = _Unpickler(io.BytesIO(packed)).load()
    return job


def write(what: Any, path: Path) -> Path:
    """Leave an object in a file, and return where.

    Raises:
        StoreError: The disk of temporary files is full.
    """
    with filesystem.writing(path.parent, ELSEWHERE), path.open("wb") as file:
        pickle.dump(what, file, protocol=pickle.HIGHEST_PROTOCOL)
    return path


def take(path: Path) -> list[Outcome]:
    """Read the outcomes that the other side wrote, and remove their file."""
    with path.open("rb") as file:
        outcomes: list[Outcome] = pickle.load(file)
    path.unlink()
    return outcomes
