"""A lab's own copies of images and weights: a folder, or a folder behind a web address.

Copies are found by the `sha256` of an entry in MANIFEST.json (a list of {file, sha256}), else by
the file's own name; either way their bytes are checked.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from harness.errors import AbsentError, HashError, SourceError, UsageError
from harness.resources.downloads import Network, check

MANIFEST, MAX_MANIFEST_BYTES = "MANIFEST.json", 16 << 20


class Mirror(ABC):
    """Where to look before the network; `complaint` is what went wrong with it, if anything."""

    complaint = ""

    @abstractmethod
    def find(self, name: str, sha256: str, target: Path) -> Path | None:
        """Return a checked copy of the file, or None where the mirror has none.

        Args:
            name: What the file is called at its source.
            sha256: Its hash, or the leading digits of it.
            target: Where a copy that has to be fetched is kept.

        Raises:
            HashError: It has a file of that name with other bytes.
        """

    @cached_property
    def _files(self) -> Mapping[str, str]:
        """SHA-256 -> file, as the manifest has them."""
        text = self._manifest()
        if text is None:
            return {}
        try:
            return {str(entry["sha256"]): str(entry["file"]) for entry in json.loads(text)}
        except (ValueError, TypeError, KeyError):
            raise UsageError(
                f"{self}/{MANIFEST} is not a list of {{file, sha256}}. Mend it, or take it away: "
                "files are then found by their names."
            ) from None

    @abstractmethod
    def _manifest(self) -> str | bytes | None: ...

    def _file(self, name: str, sha256: str) -> str:
        listed = (file for digest, file in self._files.items() if digest.startswith(sha256))
        return next(listed, name)


class FolderMirror(Mirror):
    """A folder of this machine; files are used where they lie."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def find(self, name: str, sha256: str, target: Path) -> Path | None:
        """Return the folder's own file."""
        path = self.folder / self._file(name, sha256)
        if not path.is_file():
            path = self.folder / name  # the manifest lists what is not there
        if not path.is_file():
            return None
        check(path, sha256)
        return path

    def _manifest(self) -> bytes | None:
        path = self.folder / MANIFEST
        return path.read_bytes() if path.is_file() else None


class WebMirror(Mirror):
    """A folder behind http or https; files are fetched once, into the usual caches."""

    def __init__(self, base: str, network: Network) -> None:
        self.base, self.network = base.rstrip("/"), network

    def __str__(self) -> str:
        return self.base

    def find(self, name: str, sha256: str, target: Path) -> Path | None:
        """Return a fetched copy; a server that fails is a complaint, not the end."""
        try:
            held = target.exists()  # then nobody need be asked what the file is called
            file = name if held else self._file(name, sha256)
            return self.network.fetch(f"{self.base}/{quote(file)}", target, sha256)
        except AbsentError:
            return None
        except HashError:
            raise
        except SourceError as error:
            self.complaint = f"The mirror {self.base} is of no help: {error}"
            return None

    def _manifest(self) -> bytes | None:
        try:
            return self.network.read(f"{self.base}/{MANIFEST}", MAX_MANIFEST_BYTES)
        except AbsentError:
            return None


def open_mirror(where: str, network: Network) -> Mirror | None:
    """Return the mirror at a folder or an http(s) address; None where `where` is empty.

    Raises:
        UsageError: Neither of the two.
    """
    if not where:
        return None
    if where.startswith(("http://", "https://")):
        return WebMirror(where, network)
    folder = Path(where).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"--mirror {where}: there is no such folder. "
            "Give a folder of copies, or the http(s) address of one."
        )
    return FolderMirror(folder)
