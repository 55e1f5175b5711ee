"""Send resources and jobs to other nodes through Ray's object store.

Ray moves each object to a node once, from any node that has it, and spills it to disk when memory
is short. Files also stay in the node's cache folder under their SHA-256, so that weights and
photographs cross the network once for all runs. No shared disk is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness import filesystem
from harness.errors import HashError
from harness.execution.jobs import Job
from harness.plan import Resources
from harness.resources.downloads import CACHE_REMEDY, file_sha256
from harness.resources.hash_cache import cache_folder

MAX_BUNDLE_BYTES = 64 * 2**20
"""Size of the files that one request reads. A larger file is requested alone."""

FILES_FOLDER = "transferred"
"""Folder below the cache folder of a node for the files that other machines sent."""


@dataclass(frozen=True)
class SourceFile:
    """A file on the driver's machine."""

    path: str  # as named in the resources or the job
    absolute: str
    name: str  # SHA-256 and suffix: loaders choose the format by the suffix
    size: int  # bytes

    @classmethod
    def describe(cls, path: str) -> SourceFile:
        """Return the description of a file of this machine."""
        file = Path(path)
        name = f"{file_sha256(file)}{file.suffix}"
        return cls(path, str(file.resolve()), name, file.stat().st_size)


@dataclass(frozen=True)
class Package:
    """Resources or the batches of a shard, with the files that they name."""

    content: Any
    files: tuple[SourceFile, ...]


class Packer:
    """Prepares resources and jobs for transfer; part of the driver.

    Args:
        put: `ray.put`. The packer holds the references, so each image is stored once.
    """

    def __init__(self, put: Callable[[Any], Any]) -> None:
        self._put = put
        self._images: dict[Any, Any] = {}  # (SHA-256, size) -> reference
        self._source_file = cache(SourceFile.describe)

    def pack_resources(self, resources: Resources) -> Package:
        """Package resources with their weights and photographs."""
        paths: list[str] = []
        map_resource_files(resources, _collect(paths))
        return Package(resources, self._describe(paths))

    def pack_jobs(self, batches: Sequence[Sequence[Job]]) -> Package:
        """Package batches of jobs, with references in place of images and fitted tensors."""
        paths: list[str] = []
        fits: dict[Any, Any] = {}  # freed with the shard: a run may reuse hundreds of networks

        def pack(job: Job) -> Job:
            map_job_files(job, _collect(paths))
            cell, images, own = job.cell, self._images, job.own_style
            return replace(
                job,
                content=self._refer(images, (cell.content.sha256, cell.size), job.content),
                style=self._refer(images, (cell.style.sha256, cell.size), job.style),
                own_style=(
                    None
                    if own is None
                    else self._refer(images, (cell.style.sha256, cell.style_size), own)
                ),
                kept=job.kept and self._refer(fits, cell.fit_id, job.kept),
            )

        packed = [[pack(job) for job in batch] for batch in batches]
        return Package(packed, self._describe(paths))

    def _refer(self, references: dict[Any, Any], key: Any, content: Any) -> Any:
        """Return the reference of a key; put the content into the store if there is none."""
        if key not in references:
            references[key] = self._put(content)
        return references[key]

    def _describe(self, paths: Iterable[str]) -> tuple[SourceFile, ...]:
        return tuple(map(self._source_file, dict.fromkeys(paths)))


class NodeCache:
    """The transferred files of a node. All processes of the node share them.

    Args:
        read: Returns the bytes of files on the driver's machine, by absolute path.
        folder: Stores the files.
    """

    def __init__(
        self, read: Callable[[Sequence[str]], Sequence[bytes]], folder: Path | None = None
    ) -> None:
        self._read = read
        self._folder = folder or cache_folder() / FILES_FOLDER

    def fetch(self, files: Sequence[SourceFile]) -> Callable[[str], str]:
        """Copy the missing files to this node; return a map from the given paths to the copies.

        Raises:
            HashError: A file arrived with another SHA-256.
            StoreError: The cache folder cannot be written.
        """
        if not all(map(self._has, files)):
            with filesystem.writing(self._folder, CACHE_REMEDY):
                self._folder.mkdir(parents=True, exist_ok=True)
                with FileLock(self._folder / ".lock"):
                    for bundle in bundles(files):
                        if not all(map(self._has, bundle)):
                            self._copy(bundle)
        copies = {file.path: str(self._folder / file.name) for file in files}
        return copies.__getitem__

    def _copy(self, bundle: Sequence[SourceFile]) -> None:
        contents = self._read([file.absolute for file in bundle])
        for file, data in zip(bundle, contents, strict=True):
            sha256 = hashlib.sha256(data).hexdigest()
            if not file.name.startswith(sha256):
                raise HashError(f"A file of SHA-256 {file.name[:64]} arrived with {sha256}.")
            with filesystem.replacing(self._folder / file.name) as temporary:
                temporary.write_bytes(data)

    def _has(self, file: SourceFile) -> bool:
        try:
            return (self._folder / file.name).stat().st_size == file.size
        except FileNotFoundError:
            return False


def bundles(files: Iterable[SourceFile]) -> list[list[SourceFile]]:
    """Group files in order, up to MAX_BUNDLE_BYTES each: the same groups for every node."""
    groups: list[list[SourceFile]] = []
    room = 0
    for file in files:
        if not groups or file.size > room:
            groups.append([])
            room = MAX_BUNDLE_BYTES
        groups[-1].append(file)
        room -= file.size
    return groups


def map_resource_files(resources: Resources, change: Callable[[str], str]) -> Resources:
    """Return resources with other paths for weights and photographs."""
    return replace(
        resources,
        encoder_files={
            sha256: path and Path(change(str(path)))
            for sha256, path in resources.encoder_files.items()
        },
        training_files=tuple(Path(change(str(path))) for path in resources.training_files),
        metrics=tuple(
            replace(metric, network_file=change(metric.network_file))
            if metric.network_file
            else metric
            for metric in resources.metrics
        ),
    )


def map_job_files(job: Job, change: Callable[[str], str]) -> Job:
    """Return a job with other paths for its method's files and for the stored image to score.

    Files that no parameter names have the same path on every node, as those of packages do.
    """
    params = job.cell.params
    files = {name: change(params[name]) for name in job.cell.files if name in params}
    cell = replace(job.cell, params={**job.cell.params, **files}) if files else job.cell
    return replace(job, cell=cell, image=job.image and Path(change(str(job.image))))


def _collect(paths: list[str]) -> Callable[[str], str]:
    def collect(path: str) -> str:
        paths.append(path)
        return path

    return collect
