"""Run cells on all GPUs of a machine or of a cluster through Ray.

Ray finds the GPUs, starts processes there, moves data and reports lost processes. The driver
decides what runs where and what is tried again, and it alone writes the store and MLflow.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from math import inf
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from harness.errors import NstbenchError, WorkerError
from harness.execution.executors.base import Watch
from harness.execution.executors.ray.actor import FileSource, WorkerActor
from harness.execution.executors.ray.assignment import (
    Shard,
    WorkerHandle,
    on_node,
    pack_shards,
)
from harness.execution.executors.ray.cluster import Cluster
from harness.execution.executors.ray.object_transfer import Packer
from harness.execution.jobs import Job, Outcome
from harness.plan import Resources
from harness.records import Calibration, Cell, Failure, Record

POLL_SECONDS = 0.5
"""Longest wait for a message before the executor checks the nodes and the end of the run."""

REFRESH_SECONDS = 5.0
"""Interval between two checks of which nodes are alive."""

QUICK_SECONDS = 5.0
"""A worker receives its next shard ahead of time where a batch of the variant takes less. Where it
takes more, the transfer time is negligible, and another worker may be free sooner."""

MAX_WORKER_DEATHS = 3
"""The run ends when this many workers on live nodes die in a row without an outcome."""

START_WARNING_SECONDS = 30.0
"""The executor warns when no worker is ready after this time."""

CLOSE_SECONDS, CLOSE_NOW_SECONDS = 10.0, 2.0
"""Time for the workers to close before they are killed."""


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
        self._cluster, self._watch, self._timeout = cluster, watch, timeout
        self._store, self._environment = resources.store, dict(resources.environment)
        self._packer = Packer(ray.put)
        with _cluster_errors():
            here = ray.get_runtime_context().get_node_id()
            self._source = on_node(here, FileSource, num_cpus=0).remote()
            self._resources = self._packer.pack_resources(replace(resources, store=None))
        self._workers: list[WorkerHandle] = []
        self._waiting: deque[Shard] = deque()
        self._finish_sent = False
        self._deaths = 0  # in a row, on live nodes
        self._batch_seconds: dict[str, float] = {}  # of the latest batch, by variant
        self._max_ready, self._used_nodes = 0, set[str]()
        self._created = self._refreshed = time.monotonic()

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of the first worker; the largest number of workers at a time."""
        workers = f"{self._max_ready} on {len(self._used_nodes)} of Ray's nodes"
        return {**self._environment, "workers": workers}

    @property
    def under_way(self) -> list[Cell]:
        """The running cells."""
        return [cell for worker in self._workers for cell in worker.under_way]

    def start(self) -> None:
        """Start one worker; `run` starts more as there is work for them."""
        self._start_worker()

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job as it arrives; the jobs of a batch run together.

        Raises:
            WorkerError: No worker can be started, or no node is left.
        """
        upcoming = pack_shards(batches, self._packer)
        with _cluster_errors():
            while True:
                if time.monotonic() - self._refreshed > REFRESH_SECONDS:
                    self._refresh()
                if self.finishing:
                    self._finish_workers()
                self._assign(upcoming)
                if not self._waiting and not any(worker.shards for worker in self._workers):
                    return
                yield from self._receive()

    def finish(self) -> None:
        """Complete the running cells and start no others. Safe to call from a signal handler."""
        self.finishing = True

    def calibrations(self) -> list[Calibration]:
        """Measure the speed of all workers again; return the largest drift for each size."""
        measured: list[Calibration] = []
        for reference in [worker.actor.calibrations.remote() for worker in self._ready]:
            with suppress(RayError):
                measured += ray.get(reference)
        worst = {one.size: one for one in sorted(measured, key=lambda one: one.drift)}
        return [worst[size] for size in sorted(worst)]

    def close(self, *, now: bool = False) -> None:
        """Close all workers, including those that run a cell."""
        if closing := [worker.actor.close.remote() for worker in self._ready]:
            seconds = CLOSE_NOW_SECONDS if now else CLOSE_SECONDS
            ray.wait(closing, num_returns=len(closing), timeout=seconds)
        for actor in [*(worker.actor for worker in self._workers), self._source]:
            ray.kill(actor)
        self._workers.clear()

    @property
    def _ready(self) -> list[WorkerHandle]:
        """The workers that accept shards."""
        return [worker for worker in self._workers if worker.ready]

    def _refresh(self) -> None:
        """Update the nodes.

        Raises:
            WorkerError: No node is left.
        """
        self._refreshed = time.monotonic()
        for problem in self._cluster.refresh():
            self._watch.warn(problem)
        if not self._cluster.nodes:
            raise WorkerError("No node of the cluster is left. Run the same command to resume.")
        if not self._used_nodes and self._refreshed - self._created > START_WARNING_SECONDS:
            self._created = inf  # warn once
            self._watch.warn(
                "no worker is ready yet; `ray status` shows what else uses the cluster"
            )

    def _finish_workers(self) -> None:
        """Drop waiting shards and ask each worker once to finish."""
        self._waiting.clear()
        if not self._finish_sent:
            self._finish_sent = True
            for worker in self._ready:
                worker.actor.finish.remote()

    def _assign(self, upcoming: Iterator[Shard]) -> None:
        """Send shards to idle workers; if none is idle, start a worker for each waiting shard."""
        while not self.finishing and self._queue(upcoming, 1):
            starting = sum(not worker.ready for worker in self._workers)
            if idle := next((one for one in self._ready if not one.shards), None):
                self._send(idle)
            elif self._queue(upcoming, 1 + starting) and self._start_worker():
                continue
            elif soon_idle := next(filter(self._is_quick, self._ready), None):
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
        return self._batch_seconds.get(worker.shards[0].first.variant, inf) < QUICK_SECONDS

    def _start_worker(self) -> bool:
        """Start a worker in the first free place; return False if there is none."""
        cluster, taken = self._cluster, {worker.place for worker in self._workers}
        if len(taken) >= cluster.workers:
            return False
        place = next(place for place in cluster.places() if place not in taken)
        # Four threads: two shards, and the methods that control the actor.
        options = {"max_concurrency": 4, **cluster.worker_resources}
        actor_class = on_node(place.node.id, WorkerActor, **options)
        actor = actor_class.remote(self._source, cluster.threads, self._timeout)
        self._workers.append(WorkerHandle(actor, place, actor.start.remote(self._resources)))
        return True

    def _send(self, worker: WorkerHandle) -> None:
        shard = self._waiting.popleft()
        path = self._store.checkpoint_path(shard.first.fit_id) if self._store else None
        checkpoint = path.read_bytes() if path and path.exists() else None
        run = worker.actor.run.options(num_returns="streaming")
        shard.messages, shard.started = run.remote(shard.package, checkpoint), time.monotonic()
        worker.shards.append(shard)

    def _receive(self) -> Iterator[Outcome]:
        """Wait for a message of any worker and handle it."""
        sources = {worker.next_message: worker for worker in self._workers}
        sources.pop(None, None)  # of idle workers
        if not sources:
            time.sleep(POLL_SECONDS)
            return
        # Shuffle: Ray returns the first of the list that is available.
        order = random.sample([*sources], len(sources))
        available, _ = ray.wait(order, num_returns=1, timeout=POLL_SECONDS)
        for source in available:
            yield from self._handle_next(sources[source])

    def _handle_next(self, worker: WorkerHandle) -> Iterator[Outcome]:
        """Handle the next message of a worker, or its loss."""
        node = worker.place.node
        try:
            if not worker.ready:
                self._mark_ready(worker, ray.get(worker.started))
                return
            message = ray.get(next(worker.shards[0].messages))
        except StopIteration:
            del worker.shards[0]
        except RayTaskError as error:
            if not isinstance(error.cause, NstbenchError):
                raise  # a bug of the harness
            self._cluster.nodes = [one for one in self._cluster.nodes if one is not node]
            why = f"{error.cause} {node.name} is excluded from this run."
            yield from self._replace(worker, why)
        except RayError as error:
            self._refresh()
            silent = isinstance(error, ActorUnavailableError)
            why = "it does not respond." if silent else "its process ended."
            if node not in self._cluster.nodes:
                why = f"{node.name} left the cluster."
            yield from self._replace(worker, why, str(error))
        else:
            yield from self._handle(worker, *message)

    def _mark_ready(self, worker: WorkerHandle, environment: Mapping[str, str]) -> None:
        if not self._used_nodes:
            self._environment = {k: v for k, v in environment.items() if k != "node"}
        worker.ready = True
        self._used_nodes.add(worker.place.node.id)
        self._max_ready = max(self._max_ready, len(self._ready))
        self._show_workers()

    def _handle(self, worker: WorkerHandle, kind: str, *content: Any) -> Iterator[Outcome]:
        """Handle a message about the running shard."""
        if kind == "progress":
            worker.cell_id, phase, index, of = content
            self._watch.progress(worker.cell_id, phase, index, of, worker.name)
        elif kind == "checkpoint":
            assert self._store is not None
            with suppress(OSError):  # the previous checkpoint remains
                self._store.write_checkpoint(*content)
        else:
            (outcome,) = content
            shard, id_, now = worker.shards[0], outcome.record.cell.id, time.monotonic()
            # The worker's copy of the cell may name files of its node.
            cell = shard.batch(id_).pop(id_).cell
            self._deaths = 0
            self._batch_seconds[cell.variant], shard.started = now - shard.started, now
            lost = [shard.attempts[id_]] if id_ in shard.attempts else []
            attempts = (*lost, *outcome.record.attempts)
            yield replace(outcome, record=replace(outcome.record, cell=cell, attempts=attempts))

    def _replace(self, worker: WorkerHandle, why: str, details: str = "") -> Iterator[Outcome]:
        """Queue the cells of a lost worker again; fail running cells that were lost before."""
        under_way, shards = worker.under_way, worker.shards
        with suppress(RayError):
            ray.kill(worker.actor)
        self._workers.remove(worker)
        self._show_workers()
        number = sum(shard.left for shard in shards)
        moved = f" {number} of its cells run on other workers." if number else ""
        self._watch.warn(f"lost the worker {worker.name}: {why}{'' if self.finishing else moved}")
        self._deaths += worker.place.node in self._cluster.nodes
        if self._deaths >= MAX_WORKER_DEATHS:
            raise WorkerError(f"{self._deaths} workers died in a row. The last one: {why}")
        failure = Failure("Lost", f"The worker {worker.name} was lost: {why}", details)
        for cell in under_way:
            earlier = shards[0].attempts.setdefault(cell.id, failure)
            if earlier is not failure:
                del shards[0].batch(cell.id)[cell.id]
                yield Outcome(Record(cell, "crashed", failure=failure, attempts=(earlier,)))
        self._waiting.extendleft(reversed([shard for shard in shards if shard.left]))

    def _show_workers(self) -> None:
        self._watch.workers_changed([worker.name for worker in self._ready])


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
