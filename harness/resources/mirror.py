"""Local copies of images and weights, in a folder or behind an HTTP address.

A copy is found by the `sha256` of an entry in MANIFEST.json (a list of {file, sha256}), or by its
file name. Its hash is checked in both cases.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from harness.errors import AbsentError, HashError, SourceError, UsageError
from harness.filesystem import expanded
from harness.resources.downloads import Network, check

MANIFEST, MAX_MANIFEST_BYTES = "MANIFEST.json", 16 << 20


class Mirror(ABC):
    """A source that is tried before the network; `complaint` is its last failure, if any."""

    complaint = ""

    @abstractmethod
    def find(self, name: str, sha256: str, target: Path) -> Path | None:
        """Return a checked copy of the file, or None if the mirror has none.

        Args:
            name: Name of the file at its source.
            sha256: Hash of the file, or its leading digits.
            target: Path for a downloaded copy.

        Raises:
            HashError: The mirror has a file of that name with another hash.
        """

    @cached_property
    def _files(self) -> Mapping[str, str]:
        """SHA-256 -> file, from the manifest."""
        text = self._manifest()
        if text is None:
            return {}
        try:
            return {str(entry["sha256"]): str(entry["file"]) for entry in json.loads(text)}
        except (ValueError, TypeError, KeyError):
            raise UsageError(
                f"{self}/{MANIFEST} is not a list of {{file, sha256}}. Correct it, or delete it to "
                "find files by name."
            ) from None

    @abstractmethod
    def _manifest(self) -> str | bytes | None: ...

    def _file(self, name: str, sha256: str) -> str:
        listed = (file for digest, file in self._files.items() if digest.startswith(sha256))
        return next(listed, name)


class FolderMirror(Mirror):
    """A folder on this machine. Files are used in place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def find(self, name: str, sha256: str, target: Path) -> Path | None:
        """Return the path of the file in the folder."""
        path = self.folder / self._file(name, sha256)
        if not path.is_file():
            path = self.folder / name  # the listed file is missing
        if not path.is_file():
            return None
        check(path, sha256)
        return path

    def _manifest(self) -> bytes | None:
        path = self.folder / MANIFEST
        return path.read_bytes() if path.is_file() else None


class WebMirror(Mirror):
    """A folder behind an HTTP(S) address. Files are downloaded once, into the caches."""

    def __init__(self, base: str, network: Network) -> None:
        self.base, self.network = base.rstrip("/"), network

    def __str__(self) -> str:
        return self.base

    def find(self, name: str, sha256: str, target: Path) -> Path | None:
        """Return a downloaded copy; a failing server only sets `complaint`."""
        try:
            cached = target.exists()  # saves the request for the manifest
            file = name if cached else self._file(name, sha256)
            return self.network.fetch(f"{self.base}/{quote(file)}", target, sha256)
        except AbsentError:
            return None
        except HashError:
            raise
        except SourceError as error:
            self.complaint = f"The mirror {self.base} failed: {error}"
            return None

    def _manifest(self) -> bytes | None:
        try:
            return self.network.read(f"{self.base}/{MANIFEST}", MAX_MANIFEST_BYTES)
        except AbsentError:
            return None


def open_mirror(where: str, network: Network) -> Mirror | None:
    """Return the mirror at a folder or an HTTP(S) address, or None if `where` is empty.

    Raises:
        UsageError: `where` is not an address, and there is no such folder.
    """
    if not where:
        return None
    if where.startswith(("http://", "https://")):
        return WebMirror(where, network)
    folder = expanded(where)
    if not folder.is_dir():
        raise UsageError(
            f"--mirror {where}: there is no such folder. "
            "Give a folder with copies, or its http(s) address."
        )
    return FolderMirror(folder)
