"""Transfer jobs and outcomes between processes of one machine; large objects go by file.

A pipe holds 64 kB; with pixels in it a worker would block until its busy parent reads them. Images
and fitted networks that several jobs share are written once, and cached by the worker.
"""

from __future__ import annotations

import io
import pickle
import tempfile
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness import filesystem
from harness.errors import StoreError
from harness.execution.jobs import Job, Outcome

MAX_FILES = 32
"""Many more than scheduled jobs can refer to."""

MAX_CACHED_FILES = 4
"""In the worker's memory."""

DISK_FULL_ADVICE = "choose another folder with TMPDIR"


class Sender:
    """Packs jobs; writes their large objects to files in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: OrderedDict[str, Path] = OrderedDict()

    def pack(self, job: Job) -> bytes:
        """Return a job as bytes that refer to the files of its images and fitted network."""
        cell = job.cell
        names = {
            id(job.content): self._file(f"{cell.content.sha256}-{cell.size}", job.content),
            id(job.style): self._file(f"{cell.style.sha256}-{cell.size}", job.style),
        }
        if job.own_style is not None:
            name = f"{cell.style.sha256}-{cell.style_size}"
            names[id(job.own_style)] = self._file(name, job.own_style)
        if job.kept is not None:
            names[id(job.kept)] = self._file(cell.fit_id, job.kept)
        buffer = io.BytesIO()
        _Pickler(buffer, names).dump(job)
        return buffer.getvalue()

    def _file(self, name: str, large: Any) -> Path:
        if name not in self._files:
            self._files[name] = write(large, self.folder / name)
        self._files.move_to_end(name)
        if len(self._files) > MAX_FILES:
            self._files.popitem(last=False)[1].unlink()
        return self._files[name]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, names: dict[int, Path]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names = names

    def persistent_id(self, value: Any) -> str | None:
        path = self._names.get(id(value))
        return str(path) if path else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, path: str) -> Any:
        return _load(path)


@lru_cache(maxsize=MAX_CACHED_FILES)
def _load(path: str) -> Any:
    with open(path, "rb") as file:  # noqa: PTH123
        return pickle.load(file)


def unpack(packed: bytes) -> Job:
    """Return the job that a Sender packed. Other jobs share its arrays: do not change them."""
    job: Job = _Unpickler(io.BytesIO(packed)).load()
    return job


def write(value: Any, path: Path) -> Path:
    """Write an object to a file and return the path.

    Raises:
        StoreError: The disk of temporary files is full.
    """
    with filesystem.writing(path.parent, DISK_FULL_ADVICE), path.open("wb") as file:
        pickle.dump(value, file, protocol=pickle.HIGHEST_PROTOCOL)
    return path


def take(path: Path) -> list[Outcome]:
    """Read the outcomes that the worker wrote, and delete their file."""
    with path.open("rb") as file:
        outcomes: list[Outcome] = pickle.load(file)
    path.unlink()
    return outcomes


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder that is removed together with the returned object.

    Raises:
        StoreError: No temporary folder can be created.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="nstbench-", ignore_cleanup_errors=True)
    except OSError as error:
        raise StoreError(
            f"No temporary folder can be created: {error}. Set TMPDIR to another folder."
        ) from error
