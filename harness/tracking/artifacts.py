"""The files of an MLflow run: sent, verified by name and size, and read."""

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
    """Send the files in a folder to `uri`, and return what `contents_digest` returns for them."""
    _repository(uri, tracking_uri).log_artifacts(str(folder))
    return contents_digest(folder.as_uri(), tracking_uri)


def contents_digest(uri: str, tracking_uri: str) -> str:
    """Return a digest of the names and sizes of all files at `uri`."""
    return _digest(_walk(_repository(uri, tracking_uri)))


class Files:
    """The files of a run, listed once and read into memory one by one."""

    def __init__(self, uri: str, tracking_uri: str, folders: Iterable[str]) -> None:
        """List the files at `uri` itself, and in each of `folders` that exists there."""
        self._repository = _repository(uri, tracking_uri)
        top = list(self._repository.list_artifacts())
        present = [item.path for item in top if item.is_dir and item.path in folders]
        inside = (item for path in present for item in self._repository.list_artifacts(path))
        self.sizes = {item.path: item.file_size or 0 for item in (*top, *inside) if not item.is_dir}

    def contents_digest(self) -> str:
        """Return a digest of the names and sizes of the listed files."""
        return _digest(self.sizes.items())

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return the bytes of a listed file.

        Raises:
            RecordError: The file is not listed, or larger than `max_bytes`.
        """
        if path not in self.sizes:
            raise RecordError(f"{path} is missing")
        data = self._read(path, max_bytes) if self.sizes[path] <= max_bytes else b""
        if max(self.sizes[path], len(data)) > max_bytes:
            raise RecordError(f"{path} is larger than the limit of {max_bytes:,} bytes")
        return data

    def _read(self, path: str, max_bytes: int) -> bytes:
        from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

        if isinstance(self._repository, HttpArtifactRepository):
            return download(self._repository.artifact_uri, path, max_bytes)
        with TemporaryDirectory(prefix="nstbench-mlflow-") as folder:
            return Path(self._repository.download_artifacts(path, folder)).read_bytes()


def download(uri: str, path: str, max_bytes: int) -> bytes:
    """Return a file of a server; of a larger one, little more than the first `max_bytes` bytes."""
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.request_utils import augmented_raise_for_status
    from mlflow.utils.rest_utils import http_request

    data = bytearray()
    with http_request(get_default_host_creds(uri), f"/{path}", "GET", stream=True) as response:
        augmented_raise_for_status(response)
        for chunk in response.iter_content(CHUNK):
            data += chunk
            if len(data) > max_bytes:
                break
    return bytes(data)


def _digest(files: Iterable[tuple[str, int]]) -> str:
    return hashlib.sha256(json.dumps(sorted(files)).encode()).hexdigest()


def _walk(repository: Any, folder: str | None = None) -> Iterator[tuple[str, int]]:
    for item in repository.list_artifacts(folder):
        if item.is_dir:
            yield from _walk(repository, item.path)
        else:
            yield item.path, item.file_size or 0


def _repository(uri: str, tracking_uri: str) -> Any:
    """Return the repository that MlflowClient uses, without its request for the run."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, tracking_uri=tracking_uri)
