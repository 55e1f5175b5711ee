"""What stands on a node of a cluster: a supervised worker there, its outcomes sent as they come.

It is the local executor, with another to fetch for it and to write for it: what a time-out or a
crash means is the same on one machine and on many.
"""

from __future__ import annotations

import os
import queue
import socket
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from harness.execution.executors.local import LocalExecutor
from harness.execution.executors.ray.object_transfer import NodeCache, Package
from harness.execution.image_encoding import encode_images
from harness.execution.jobs import Job, Outcome
from harness.execution.machine import environment
from harness.plan import Resources
from harness.records import Calibration
from harness.store import Store

Message: TypeAlias = tuple[Any, ...]
"""("at", cell id, phase, index, of), ("outcome", Outcome) or ("checkpoint", fit id, bytes)."""

TELL_SECONDS = 1.0
"""How far a phase is, no more often: hundreds of stations may tell one driver."""


class _Messages(queue.SimpleQueue["Message | Outcome | BaseException | None"]):
    """What becomes of one shard, and None at its end."""


class WorkerActor:
    """One worker of a run; Ray calls it from several threads.

    Args:
        depot: Of the driver, see below.
        threads: That cells compute with.
        timeout: Seconds that a cell may take.
    """

    def __init__(self, depot: Any, threads: int, timeout: float | None) -> None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # of the worker; Ray has set its own
        self._depot, self._timeout = depot, timeout
        self._cache = NodeCache(self._read)
        self._scratch = tempfile.TemporaryDirectory(prefix="nstbench-", ignore_cleanup_errors=True)
        self._store = Store(Path(self._scratch.name), "station")  # of checkpoints
        self._messages = _Messages()  # of the shard that runs
        self._running = threading.Lock()  # by one shard at a time; the next one waits here
        self._told: tuple[str, str, float] = ("", "", 0.0)
        self._fit_id, self._kept_at = "", 0  # the running fit, and when its checkpoint was made

    def begin(self, setup: Package) -> Mapping[str, str]:
        """Start the worker; return its environment when it is there.

        Raises:
            HashError: What was sent is not what arrived.
            WorkerError: It does not start.
        """
        found: Resources = self._cache.unpack(setup)
        around = {**environment.describe(found.device), "node": socket.gethostname()}
        self._executor = LocalExecutor(
            replace(found, environment=around, store=self._store), self._progress, self._timeout
        )
        self._executor.wait_for_worker()
        return self._executor.environment

    def run(
        self, shard: Package, only: Collection[str], checkpoint: Package | None
    ) -> Iterator[Message]:
        """Yield what becomes of a shard's cells, once an earlier one is through.

        Args:
            shard: A sequence of batches of jobs.
            only: Ids of the cells that are to run; others are done.
            checkpoint: Of their training, as bytes, where there is one.
        """
        batches: list[list[Job]] = self._cache.unpack(shard)
        todo = [[job for job in batch if job.cell.id in only] for batch in batches]
        state = self._cache.unpack(checkpoint) if checkpoint else None
        messages = _Messages()
        work = (messages, list(filter(None, todo)), state)
        threading.Thread(target=self._work, args=work, daemon=True).start()
        while (message := messages.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            # Here: the worker is at the next cell by now, and the driver has many to hear.
            yield ("outcome", _light(message)) if isinstance(message, Outcome) else message

    def finish(self) -> None:
        """Let the running cell come to its end and begin no other."""
        self._executor.finish()

    def calibrations(self) -> list[Calibration]:
        """Have the machine's pace measured again."""
        return self._executor.calibrations()

    def close(self) -> None:
        """End the worker now, and leave nothing."""
        self._executor.close(now=True)
        self._scratch.cleanup()

    def _read(self, names: Sequence[str]) -> list[bytes]:
        import ray

        found: list[bytes] = ray.get(self._depot.read.remote(names))
        return found

    def _work(
        self, messages: _Messages, batches: Sequence[Sequence[Job]], state: bytes | None
    ) -> None:
        with self._running:
            try:
                self._messages = messages
                self._take_up(batches[0][0].cell.fit_id, state)
                for outcome in self._executor.run(batches):
                    messages.put(outcome)
                self._store.drop_checkpoint(self._fit_id)
            except BaseException as error:
                messages.put(error)
            else:
                messages.put(None)

    def _take_up(self, fit_id: str, state: bytes | None) -> None:
        """Lay down what an earlier station left of a training."""
        self._fit_id = fit_id
        self._store.drop_checkpoint(fit_id)
        if state is not None:
            self._store.write_checkpoint(fit_id, state)
        self._kept_at = self._checkpoint_time()

    def _progress(self, cell_id: str, phase: str, index: int, of: int) -> None:
        """Pass on what begins, and now and then how far it is; and the checkpoint on the way."""
        now = time.monotonic()
        *before, when = self._told
        if [cell_id, phase] == before and now - when < TELL_SECONDS:
            return
        self._told = (cell_id, phase, now)
        self._messages.put(("at", cell_id, phase, index, of))
        made = self._checkpoint_time()
        if made > self._kept_at:
            self._kept_at = made
            state = self._store.checkpoint_path(self._fit_id).read_bytes()
            self._messages.put(("checkpoint", self._fit_id, state))

    def _checkpoint_time(self) -> int:
        path = self._store.checkpoint_path(self._fit_id)
        return path.stat().st_mtime_ns if path.exists() else 0


def _light(outcome: Outcome) -> Outcome:
    return replace(outcome, pixels=None, snapshots={}, files=encode_images(outcome))


class Depot:
    """Stands on the driver's machine and hands out its files by name."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}

    def offer(self, paths: Mapping[str, Path]) -> None:
        """Take note of where files are."""
        self._paths.update(paths)

    def read(self, names: Sequence[str]) -> list[bytes]:
        """Return their bytes."""
        return [self._paths[name].read_bytes() for name in names]
