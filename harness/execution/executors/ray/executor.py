"""Run cells on all GPUs of a machine or of a cluster through Ray.

Ray finds the GPUs, starts processes there, moves data and reports lost processes. The driver
decides what runs where and what is tried again, and it alone writes the store and MLflow.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import groupby
from math import inf
from typing import Any, Protocol

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from harness.errors import NstbenchError, WorkerError
from harness.execution.executors.ray.cluster import Cluster
from harness.execution.executors.ray.worker_pool import (
    REFRESH_SECONDS,
    Shard,
    WorkerHandle,
    WorkerPool,
)
from harness.execution.jobs import Job, Outcome
from harness.plan import Resources
from harness.records import Calibration, Cell, Failure, Record

POLL_SECONDS = 0.5
"""Longest wait for a message before the executor checks the nodes and the end of the run."""

QUICK_SECONDS = 5.0
"""A worker receives its next shard ahead of time where a batch of the variant takes less. Where it
takes more, the transfer time is negligible, and another worker may be free sooner."""

MAX_WORKER_DEATHS = 3
"""The run ends when this many workers on live nodes die in a row without an outcome."""


class Watch(Protocol):
    """Receives the progress of a run."""

    def progress(self, cell_id: str, phase: str, index: int, of: int, place: str = "") -> None:
        """Update the progress of a cell; `place` is the name of the worker."""

    def staffed(self, places: Sequence[str]) -> None:
        """Update the list of worker names."""

    def warn(self, text: str) -> None:
        """Show a warning."""


class RayExecutor:
    """Runs jobs on the nodes of a cluster and yields outcomes as they arrive. Call `run` once.

    Args:
        cluster: The nodes.
        resources: Shared by all cells.
        watch: Receives the progress.
        timeout: Limit for a cell, its fit included, seconds.
    """

    def __init__(
        self, cluster: Cluster, resources: Resources, watch: Watch, timeout: float | None = None
    ) -> None:
        self.finishing = False
        self._watch, self._store = watch, resources.store
        with _cluster_errors():
            self._pool = WorkerPool(cluster, resources, timeout, watch.warn)
        self._waiting: deque[Shard] = deque()
        self._finish_sent = False
        self._deaths = 0  # in a row, on live nodes
        self._batch_seconds: dict[str, float] = {}  # of the latest batch, by variant
        self._offset = 0  # of the stream to poll first

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the first worker, and the number of workers."""
        return {**self._pool.environment, "workers": self._pool.size}

    @property
    def under_way(self) -> list[Cell]:
        """The running cells."""
        return [cell for worker in self._pool.workers for cell in worker.under_way]

    def start(self) -> None:
        """Start one worker; `run` starts more as there is work for them."""
        self._pool.refresh()
        self._pool.start_worker()

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job as it arrives; the jobs of a batch run together.

        Raises:
            WorkerError: No worker can be started, or no node is left.
        """
        upcoming = self._shards(batches)
        with _cluster_errors():
            while True:
                self._pool.refresh(REFRESH_SECONDS)
                if self.finishing:
                    self._finish_workers()
                self._assign(upcoming)
                if not self._waiting and not any(worker.shards for worker in self._pool.workers):
                    return
                for worker, shard in self._poll():
                    yield from self._receive(worker, shard)

    def finish(self) -> None:
        """Complete the running cells and start no others. Safe to call from a signal handler."""
        self.finishing = True

    def calibrations(self) -> list[Calibration]:
        """Measure the speed of all workers again; return the largest drift for each size."""
        return self._pool.calibrations()

    def close(self, *, now: bool = False) -> None:
        """Close all workers, including those that run a cell."""
        self._pool.close(now=now)

    def _shards(self, batches: Iterable[Sequence[Job]]) -> Iterator[Shard]:
        """Group batches that share a training; each other batch is a shard."""
        for _, group in groupby(enumerate(batches), key=_shard_key):
            jobs = [batch for _, batch in group]
            cells = [[job.cell for job in batch] for batch in jobs]
            yield Shard(self._pool.packer.pack_jobs(jobs), cells)

    def _finish_workers(self) -> None:
        """Drop waiting shards and ask each worker once to finish."""
        self._waiting.clear()
        if not self._finish_sent:
            self._finish_sent = True
            for worker in self._pool.ready:
                worker.actor.finish.remote()

    def _assign(self, upcoming: Iterator[Shard]) -> None:
        """Send shards to idle workers; if none is idle, start a worker for each waiting shard."""
        while not self.finishing and self._queue(upcoming, 1):
            starting = sum(not worker.ready for worker in self._pool.workers)
            if idle := next((one for one in self._pool.ready if not one.shards), None):
                self._send(idle)
            elif self._queue(upcoming, 1 + starting) and self._pool.start_worker():
                continue
            elif soon_idle := next(filter(self._is_quick, self._pool.ready), None):
                self._send(soon_idle)
            else:
                return

    def _queue(self, upcoming: Iterator[Shard], number: int) -> bool:
        """Fill the queue up to a number of shards; return whether it has that many."""
        while len(self._waiting) < number and (shard := next(upcoming, None)):
            self._waiting.append(shard)
        return len(self._waiting) >= number

    def _is_quick(self, worker: WorkerHandle) -> bool:
        """Return whether a worker's only shard is of a variant whose latest batch was quick."""
        if len(worker.shards) != 1:
            return False
        return self._batch_seconds.get(worker.shards[0].variant, inf) < QUICK_SECONDS

    def _send(self, worker: WorkerHandle) -> None:
        shard = self._waiting.popleft()
        path = self._store.checkpoint_path(shard.fit_id) if self._store else None
        checkpoint = path.read_bytes() if path and path.exists() else None
        run = worker.actor.run.options(num_returns="streaming")
        shard.messages, shard.started = run.remote(shard.rest(), checkpoint), time.monotonic()
        worker.shards.append(shard)

    def _poll(self) -> list[tuple[WorkerHandle, Shard | None]]:
        """Wait for a worker that started (no shard) or for a message about a shard."""
        workers = self._pool.workers
        sources: dict[Any, tuple[WorkerHandle, Shard | None]] = {
            **{worker.started: (worker, None) for worker in workers if not worker.ready},
            **{shard.messages: (worker, shard) for worker in workers for shard in worker.shards},
        }
        if not sources:
            time.sleep(POLL_SECONDS)
            return []
        # Rotate: Ray returns the first of the list that is available.
        self._offset = (self._offset + 1) % len(sources)
        order = [*sources][self._offset :] + [*sources][: self._offset]
        available, _ = ray.wait(order, num_returns=1, timeout=POLL_SECONDS)
        return [sources[one] for one in available]

    def _receive(self, worker: WorkerHandle, shard: Shard | None) -> Iterator[Outcome]:
        try:
            if shard is None:
                self._pool.mark_ready(worker)
                self._show_workers()
                return
            message = ray.get(next(shard.messages))
        except StopIteration:
            worker.shards = [one for one in worker.shards if one is not shard]
        except RayTaskError as error:
            if not isinstance(error.cause, NstbenchError):
                raise  # a bug of the harness
            why = f"{error.cause} {worker.node.name} is excluded from this run."
            yield from self._replace(worker, why, exclude_node=True)
        except RayError as error:
            self._pool.refresh()
            silent = isinstance(error, ActorUnavailableError)
            why = "its process ended" if not silent else "it does not respond"
            why = (
                why if self._pool.is_usable(worker.node) else f"{worker.node.name} left the cluster"
            )
            yield from self._replace(worker, f"{why}.", str(error))
        else:
            yield from self._handle(worker, shard, *message)

    def _handle(
        self, worker: WorkerHandle, shard: Shard, kind: str, *content: Any
    ) -> Iterator[Outcome]:
        if kind == "progress":
            worker.cell_id, phase, index, of = content
            self._watch.progress(worker.cell_id, phase, index, of, worker.name)
        elif kind == "checkpoint":
            assert self._store is not None
            with suppress(OSError):  # the previous checkpoint remains
                self._store.write_checkpoint(*content)
        else:
            (outcome,) = content
            record, now = outcome.record, time.monotonic()
            self._deaths = 0
            self._batch_seconds[record.cell.variant], shard.started = now - shard.started, now
            earlier = shard.attempts.get(record.cell.id, ())
            # The worker's copy of the cell may name files of its node.
            cell = shard.left.pop(record.cell.id)
            record = replace(record, cell=cell, attempts=(*earlier, *record.attempts))
            yield replace(outcome, record=record)

    def _replace(
        self, worker: WorkerHandle, why: str, details: str = "", *, exclude_node: bool = False
    ) -> Iterator[Outcome]:
        """Queue the cells of a lost worker again; fail running cells that were lost before."""
        under_way, shards = worker.under_way, worker.shards
        self._pool.remove(worker, exclude_node=exclude_node)
        self._show_workers()
        number = sum(len(shard.left) for shard in shards)
        moved = f" {number} of its cells run on other workers." if number else ""
        self._watch.warn(f"lost the worker {worker.name}: {why}{'' if self.finishing else moved}")
        self._deaths += self._pool.is_usable(worker.node)
        if self._deaths >= MAX_WORKER_DEATHS:
            raise WorkerError(f"{self._deaths} workers died in a row. The last one: {why}")
        failure = Failure("Lost", f"The worker {worker.name} was lost: {why}", details)
        for cell in under_way:
            if earlier := shards[0].attempts.get(cell.id):
                del shards[0].left[cell.id]
                yield Outcome(Record(cell, "crashed", failure=failure, attempts=earlier))
            else:
                shards[0].attempts[cell.id] = (failure,)
        self._waiting.extendleft(reversed([shard for shard in shards if shard.left]))

    def _show_workers(self) -> None:
        self._watch.staffed([worker.name for worker in self._pool.ready])


@contextmanager
def _cluster_errors() -> Iterator[None]:
    """Raise WorkerError for an error of Ray that concerns no single worker."""
    try:
        yield
    except RayTaskError:
        raise  # a bug of the harness
    except RayError as error:
        why = str(error).strip().splitlines()[0]
        message = f"The cluster failed: {why} Run the same command to resume."
        raise WorkerError(message) from error


def _shard_key(numbered: tuple[int, Sequence[Job]]) -> str:
    number, jobs = numbered
    trains = jobs[0].cell.training and not jobs[0].stored
    return jobs[0].cell.fit_id if trains else str(number)
