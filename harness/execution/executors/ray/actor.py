"""The Ray actors of a run: a supervised worker on each GPU, and the source of its files.

A worker actor wraps the local executor, so time-outs and crashes mean the same on one machine and
on a cluster. The actor fetches its input and streams its outcomes to the driver.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import ray

from harness.execution.executors.ipc import temporary_folder
from harness.execution.executors.local import LocalExecutor
from harness.execution.executors.ray.object_transfer import (
    NodeCache,
    Package,
    map_job_files,
    map_resource_files,
)
from harness.execution.image_encoding import encode_images
from harness.execution.jobs import Job, Outcome
from harness.execution.machine import environment
from harness.records import Calibration
from harness.store import Store

Message: TypeAlias = tuple[Any, ...]
"""("progress", cell id, phase, index, of), ("outcome", Outcome), ("checkpoint", fit id, bytes)."""

PROGRESS_SECONDS = 1.0
"""Interval between two progress messages of a phase. Hundreds of workers share one driver."""


class FileSource:
    """Puts files of the driver's machine into Ray's object store when a node first requests them.

    It holds the references, so further nodes fetch the same objects, from any node that has them.
    """

    def __init__(self) -> None:
        self._bundles: dict[tuple[str, ...], Any] = {}

    def put(self, paths: tuple[str, ...]) -> list[Any]:
        """Return one reference, to the list of the files' bytes.

        It is in a list, since Ray would treat a reference as the result itself.
        """
        if paths not in self._bundles:
            self._bundles[paths] = ray.put([Path(path).read_bytes() for path in paths])
        return [self._bundles[paths]]


class WorkerActor:
    """One worker of a run. Ray calls its methods from several threads.

    Args:
        source: Handle of the FileSource.
        threads: Number of CPU threads for cells.
        timeout: Limit for a cell, seconds.
    """

    def __init__(self, source: Any, threads: int, timeout: float | None) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # for the worker; Ray sets its own value
        self._source, self._timeout = source, timeout
        self._cache = NodeCache(self._read)
        self._scratch = temporary_folder()
        self._store = Store(Path(self._scratch.name), "checkpoints")
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()  # of the running shard
        self._running = threading.Lock()  # held by the running shard; the next one waits for it
        self._latest: tuple[str, str, float] = ("", "", 0.0)  # cell id, phase, time of the message
        self._fit_id, self._checkpoint_time = "", 0  # of the running fit

    def start(self, package: Package) -> Mapping[str, str]:
        """Start the worker process; return its environment.

        Raises:
            HashError: A file arrived with another SHA-256.
            WorkerError: The worker process does not start.
        """
        resources = map_resource_files(package.content, self._cache.fetch(package.files))
        described = {**environment.describe(resources.device), "node": socket.gethostname()}
        self._executor = LocalExecutor(
            replace(resources, environment=described, store=self._store),
            self._progress,
            self._timeout,
        )
        self._executor.wait_for_worker()
        return self._executor.environment

    def run(self, package: Package, checkpoint: bytes | None) -> Iterator[Message]:
        """Yield messages while a shard's cells run. It starts when the previous shard is done.

        Args:
            package: Batches of jobs.
            checkpoint: State of their training, where an earlier worker left one.
        """
        copies = self._cache.fetch(package.files)
        batches = [[_resolved(map_job_files(job, copies)) for job in b] for b in package.content]
        messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        work = (messages, batches, checkpoint)
        threading.Thread(target=self._work, args=work, daemon=True).start()
        while (message := messages.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            # Encode images here: the worker process already runs the next cell.
            yield ("outcome", _encoded(message)) if isinstance(message, Outcome) else message

    def finish(self) -> None:
        """Complete the running cell and start no other."""
        self._executor.finish()

    def calibrations(self) -> list[Calibration]:
        """Measure the machine's speed again."""
        return self._executor.calibrations()

    def close(self) -> None:
        """End the worker process now and remove its files."""
        self._executor.close(now=True)
        self._scratch.cleanup()

    def _read(self, paths: Sequence[str]) -> list[bytes]:
        (reference,) = ray.get(self._source.put.remote(tuple(paths)))
        contents: list[bytes] = ray.get(reference)
        return contents

    def _work(
        self,
        messages: queue.SimpleQueue[Any],
        batches: Sequence[Sequence[Job]],
        checkpoint: bytes | None,
    ) -> None:
        with self._running:
            try:
                self._messages = messages
                self._restore(batches[0][0].cell.fit_id, checkpoint)
                for outcome in self._executor.run(batches):
                    messages.put(outcome)
                self._store.drop_checkpoint(self._fit_id)
            except BaseException as error:
                messages.put(error)
            else:
                messages.put(None)

    def _restore(self, fit_id: str, checkpoint: bytes | None) -> None:
        """Write the checkpoint of an earlier worker where the training looks for it."""
        self._fit_id = fit_id
        self._store.drop_checkpoint(fit_id)
        if checkpoint is not None:
            self._store.write_checkpoint(fit_id, checkpoint)
        self._checkpoint_time = self._modified()

    def _progress(self, cell_id: str, phase: str, index: int, of: int) -> None:
        """Send a message at each new phase and once in PROGRESS_SECONDS, and new checkpoints."""
        now = time.monotonic()
        *before, sent = self._latest
        if [cell_id, phase] == before and now - sent < PROGRESS_SECONDS:
            return
        self._latest = (cell_id, phase, now)
        self._messages.put(("progress", cell_id, phase, index, of))
        modified = self._modified()
        if modified > self._checkpoint_time:
            self._checkpoint_time = modified
            state = self._store.checkpoint_path(self._fit_id).read_bytes()
            self._messages.put(("checkpoint", self._fit_id, state))

    def _modified(self) -> int:
        path = self._store.checkpoint_path(self._fit_id)
        return path.stat().st_mtime_ns if path.exists() else 0


def _resolved(job: Job) -> Job:
    """Return a job with its images and fitted tensors in place of Ray's references."""
    get: Any = ray.get  # a job's types are those of its contents
    names = ("content", "style", "own_style", "kept")
    references = {name: value for name in names if (value := vars(job)[name]) is not None}
    return replace(job, **{name: get(reference) for name, reference in references.items()})


def _encoded(outcome: Outcome) -> Outcome:
    return replace(outcome, pixels=None, snapshots={}, files=encode_images(outcome))
