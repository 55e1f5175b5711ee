"""Transfer of jobs and outcomes between processes of one machine: large data goes through files.

A pipe holds 64 kB. With pixels in it, a worker would wait until a busy parent reads them. Images
and fitted tensors that several jobs share are written once, and the worker caches them. The files
are private to the two processes; `pickle.load` reads nothing else.
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

MAX_FILES = 32
"""Files in the folder: many more than the jobs that are under way can name."""

MAX_CACHED = 4
"""Arrays and fitted tensors that a worker keeps in memory."""

ELSEWHERE = "choose another folder with TMPDIR"


class Sender:
    """Packs jobs for a worker, with files in a folder that no other object uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: OrderedDict[str, Path] = OrderedDict()  # least recently used first

    def pack(self, job: Job) -> bytes:
        """Return a job as bytes that name the files of its images and fitted tensors."""
        cell = job.cell
        paths = {
            id(job.content): self._file(f"{cell.content.sha256}-{cell.size}", job.content),
            id(job.style): self._file(f"{cell.style.sha256}-{cell.size}", job.style),
        }
        if job.kept is not None:
            paths[id(job.kept)] = self._file(cell.fit_id, job.kept)
        buffer = io.BytesIO()
        _Pickler(buffer, paths).dump(job)
        return buffer.getvalue()

    def _file(self, name: str, content: Any) -> Path:
        if name not in self._files:
            self._files[name] = write(content, self.folder / name)
        self._files.move_to_end(name)
        if len(self._files) > MAX_FILES:
            self._files.popitem(last=False)[1].unlink()
        return self._files[name]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, paths: dict[int, Path]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._paths = paths  # by id of the object

    def persistent_id(self, value: Any) -> str | None:
        path = self._paths.get(id(value))
        return str(path) if path else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, path: str) -> Any:
        return _read_cached(path)


@lru_cache(maxsize=MAX_CACHED)
def _read_cached(path: str) -> Any:
    with open(path, "rb") as file:  # noqa: PTH123
        return pickle.load(file)


def unpack(packed: bytes) -> Job:
    """Return the job that a Sender packed. Do not modify its arrays: other jobs share them."""
    job: Job = _Unpickler(io.BytesIO(packed)).load()
    return job


def write(content: Any, path: Path) -> Path:
    """Write an object to a file and return its path.

    Raises:
        StoreError: The disk of temporary files is full.
    """
    with filesystem.writing(path.parent, ELSEWHERE), path.open("wb") as file:
        pickle.dump(content, file, protocol=pickle.HIGHEST_PROTOCOL)
    return path


def take(path: Path) -> list[Outcome]:
    """Return the outcomes that a worker wrote, and remove their file."""
    with path.open("rb") as file:
        outcomes: list[Outcome] = pickle.load(file)
    path.unlink()
    return outcomes
