"""What travels between machines: jobs as data, what is large by content hash, once to each node.

Nothing rests on a disk that machines share. A node keeps in its cache folder what it was sent, for
later runs too: weights and photographs cross the network once.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from harness import filesystem
from harness.errors import HashError
from harness.execution.executors import ipc
from harness.execution.jobs import Job
from harness.plan import Resources
from harness.resources.downloads import CACHE_REMEDY, file_sha256
from harness.resources.hash_cache import cache_folder

LARGE_BYTES = 4096
"""An array or a string of bytes from here on goes by itself."""

LOAD_BYTES = 64 * 2**20
"""So much is asked for at a time; a larger piece comes alone."""


Piece: TypeAlias = "NDArray[Any] | bytes"


@dataclass(frozen=True)
class Package:
    """Something packed, and what has to be there before it can be unpacked."""

    payload: bytes
    pieces: Mapping[str, int]  # name, which is the SHA-256 and a suffix -> bytes


def files_of(setup: Resources) -> list[Path]:
    """Return the files that cells need wherever they run: weights, photographs to train on."""
    networks = (metric.network_file for metric in setup.metrics)
    weights = filter(None, [*setup.encoder_files.values(), *map(Path, filter(None, networks))])
    return [*weights, *setup.training_files]


def files_of_job(job: Job) -> list[Path | str]:
    """Return the files that a cell needs besides: its method's, and its image to be scored."""
    own = [job.cell.params[name] for name in job.cell.files]
    return own if job.image is None else [*own, job.image]


class Packer:
    """Packs for machines elsewhere.

    Args:
        folder: Takes what is no file yet, as long as anybody may ask for it.
        offer: Is told by name where new pieces lie, before anybody can ask for them.
    """

    def __init__(self, folder: Path, offer: Callable[[Mapping[str, Path]], object]) -> None:
        self._folder, self._offer = folder, offer
        self._names: dict[Path, str] = {}  # of files
        self._sizes: dict[str, int] = {}
        self._new: dict[str, Path] = {}

    def pack(self, what: Any, files: Iterable[Path | str] = ()) -> Package:
        """Pack something; where it names one of the files, it will name the node's copy.

        Args:
            what: Anything that can be pickled.
            files: By the very names that it has for them.
        """
        names = {str(path): self._file(Path(path)) for path in files}
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, names, self._piece)
        pickler.dump(what)
        if self._new:
            self._offer(self._new)
            self._new = {}
        return Package(buffer.getvalue(), {name: self._sizes[name] for name in pickler.met})

    def _file(self, path: Path) -> str:
        if path not in self._names:
            name = f"{file_sha256(path)}{path.suffix}"
            self._names[path] = name
            self._take(name, path)
        return self._names[path]

    def _piece(self, what: Piece) -> str:
        data, suffix = (what, ".bytes") if isinstance(what, bytes) else (_npy(what), ".npy")
        name = f"{hashlib.sha256(data).hexdigest()}{suffix}"
        if name not in self._sizes:
            path = self._folder / name
            with filesystem.writing(self._folder, ipc.DISK_FULL_ADVICE):
                path.write_bytes(data)
            self._take(name, path)
        return name

    def _take(self, name: str, path: Path) -> None:
        if name not in self._sizes:
            self._sizes[name] = path.stat().st_size
            self._new[name] = path


class _Pickler(pickle.Pickler):
    def __init__(
        self, file: io.BytesIO, names: Mapping[str, str], piece: Callable[[Piece], str]
    ) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._names, self._piece = names, piece
        self.met: dict[str, None] = {}

    def persistent_id(self, what: Any) -> tuple[str, str] | None:
        if isinstance(what, (str, Path)):
            kind, name = type(what).__name__, self._names.get(str(what))
        elif _bytes(what) >= LARGE_BYTES:
            kind, name = "piece", self._piece(what)
        else:
            return None
        if name is None:
            return None
        self.met[name] = None
        return kind, name


def _npy(what: NDArray[Any]) -> bytes:
    """Return an array as a file that runs nothing when it is read, as a pickle would."""
    buffer = io.BytesIO()
    np.save(buffer, what, allow_pickle=False)
    return buffer.getvalue()


def _bytes(what: Any) -> int:
    if isinstance(what, np.ndarray):
        return what.nbytes
    return len(what) if isinstance(what, bytes) else 0


class NodeCache:
    """The pieces that a node has; its processes share them, and each comes once.

    Args:
        read: Gives the bytes of pieces by name, from where they are offered.
        folder: Keeps them.
    """

    def __init__(
        self, read: Callable[[Sequence[str]], Sequence[bytes]], folder: Path | None = None
    ) -> None:
        self._read = read
        self._folder = folder or cache_folder() / "freight"
        self._kept: dict[str, Any] = {}

    def unpack(self, freight: Package) -> Any:
        """Return what was packed, with the pieces of it that were not here brought here.

        Raises:
            HashError: A piece arrived other than it was sent.
            StoreError: The disk refuses.
        """
        self._bring(freight.pieces)
        kept = {name: what for name, what in self._kept.items() if name in freight.pieces}
        unpickler = _Unpickler(io.BytesIO(freight.payload), self._folder, kept)
        found = unpickler.load()
        self._kept = kept  # by now with what this one needed
        return found

    def _bring(self, pieces: Mapping[str, int]) -> None:
        if not self._lacking(pieces):
            return
        with filesystem.writing(self._folder, CACHE_REMEDY):
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / ".lock"):
                for load in _loads(self._lacking(pieces)):
                    for name, data in zip(load, self._read(load), strict=True):
                        self._keep(name, data)

    def _lacking(self, pieces: Mapping[str, int]) -> dict[str, int]:
        return {name: size for name, size in pieces.items() if not self._has(name, size)}

    def _has(self, name: str, size: int) -> bool:
        try:
            return (self._folder / name).stat().st_size == size
        except FileNotFoundError:
            return False

    def _keep(self, name: str, data: bytes) -> None:
        found = hashlib.sha256(data).hexdigest()
        if not name.startswith(found):
            raise HashError(f"A file of SHA-256 {name[:64]} arrived with {found}.")
        with filesystem.replacing(self._folder / name) as temporary:
            temporary.write_bytes(data)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, folder: Path, kept: dict[str, Any]) -> None:
        super().__init__(file)
        self._folder, self._kept = folder, kept

    def persistent_load(self, what: tuple[str, str]) -> Any:
        kind, name = what
        path = self._folder / name
        if kind == "piece":
            if name not in self._kept:
                self._kept[name] = path.read_bytes() if path.suffix == ".bytes" else np.load(path)
            return self._kept[name]
        return str(path) if kind == "str" else path


def _loads(pieces: Mapping[str, int]) -> Iterator[list[str]]:
    """Put names together as far as their bytes go into one load."""
    load: list[str] = []
    room = LOAD_BYTES
    for name, size in pieces.items():
        if load and size > room:
            yield load
            load, room = [], LOAD_BYTES
        load.append(name)
        room -= size
    if load:
        yield load
