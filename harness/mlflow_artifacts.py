"""The files of a run: sent, and looked at again by name and size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def send(folder: Path, uri: str, tracking_uri: str) -> str:
    """Send what is in a folder, and return what `contents` has to say of it from now on."""
    _at(uri, tracking_uri).log_artifacts(str(folder))
    return contents(folder.as_uri(), tracking_uri)


def contents(uri: str, tracking_uri: str) -> str:
    """Return a digest of the names and sizes of all files at a place."""
    listed = json.dumps(sorted(_listed(_at(uri, tracking_uri))))
    return hashlib.sha256(listed.encode()).hexdigest()


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
