"""The files of a run: sent, looked at again by name and size, and read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.errors import RecordError

CHUNK = 2**16


def send(folder: Path, uri: str, tracking_uri: str) -> str:
    """Send what is in a folder, and return what `contents` has to say of it from now on."""
    _at(uri, tracking_uri).log_artifacts(str(folder))
    return contents(folder.as_uri(), tracking_uri)


def contents(uri: str, tracking_uri: str) -> str:
    """Return a digest of the names and sizes of all files at a place."""
    return _digest(_listed(_at(uri, tracking_uri)))


class Files:
    """The files of a run, as they were listed; read into memory, one by one."""

    def __init__(self, uri: str, tracking_uri: str, folders: Iterable[str]) -> None:
        """List what is at `uri` itself and in those of the folders that are there."""
        self._place = _at(uri, tracking_uri)
        top = list(self._place.list_artifacts())
        there = [item.path for item in top if item.is_dir and item.path in folders]
        found = [*top, *(item for path in there for item in self._place.list_artifacts(path))]
        self.sizes = {item.path: item.file_size or 0 for item in found if not item.is_dir}

    def contents(self) -> str:
        """Return what `contents` does."""
        return _digest(self.sizes.items())

    def read(self, path: str, most: int) -> bytes:
        """Return the bytes of a file that was listed.

        Raises:
            RecordError: It was not, or is larger than `most` bytes.
        """
        if path not in self.sizes:
            raise RecordError(f"{path} is missing")
        data = self._read(path, most) if self.sizes[path] <= most else b""
        if max(self.sizes[path], len(data)) > most:
            raise RecordError(f"{path} has more than the {most:,} bytes that it may have")
        return data

    def _read(self, path: str, most: int) -> bytes:
        from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

        if isinstance(self._place, HttpArtifactRepository):
            return streamed(self._place.artifact_uri, path, most)
        with TemporaryDirectory(prefix="nstbench-mlflow-") as folder:
            return Path(self._place.download_artifacts(path, folder)).read_bytes()


def streamed(uri: str, path: str, most: int) -> bytes:
    """Return a server's file, or so much of it that one can tell that it is too large."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.request_utils import augmented_raise_for_status
    from mlflow.utils.rest_utils import http_request

    data = bytearray()
    with http_request(get_default_host_creds(uri), f"/{path}", "GET", stream=True) as answer:
        augmented_raise_for_status(answer)
        for chunk in answer.iter_content(CHUNK):
            data += chunk
            if len(data) > most:
                break
    return bytes(data)


def _digest(files: Iterable[tuple[str, int]]) -> str:
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def _listed(artifacts: Any, folder: str | None = None) -> Iterator[tuple[str, int]]:
    for item in artifacts.list_artifacts(folder):
        if item.is_dir:
            yield from _listed(artifacts, item.path)
        else:
            yield item.path, item.file_size or 0


def _at(uri: str, tracking_uri: str) -> Any:
    """Return what the client itself uses, after asking the server for the run that we hold."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, tracking_uri=tracking_uri)
