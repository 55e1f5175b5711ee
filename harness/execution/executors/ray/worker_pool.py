"""The worker actors of a run: started where the cluster has room, closed at the end.

Ray's own restarts and retries are off. A repeated task would hide the failed attempt, which has to
be on record, and would run cells again whose outcomes have arrived.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.errors import WorkerError
from harness.execution.executors.ray.actor import FileSource, WorkerActor
from harness.execution.executors.ray.cluster import Cluster, Node
from harness.execution.executors.ray.object_transfer import Package, Packer
from harness.plan import Resources
from harness.records import Calibration, Cell, Failure

REFRESH_SECONDS = 5.0
"""Interval between two checks of which nodes are alive."""

START_WARNING_SECONDS = 30.0
"""The pool warns when no worker is ready after this time."""

CLOSE_SECONDS, CLOSE_NOW_SECONDS = 10.0, 2.0
"""Time for the workers to close before they are killed."""


@dataclass
class Shard:
    """Batches for one worker: all that share a training, or a single one."""

    package: Package
    batches: Sequence[Sequence[Cell]]
    attempts: dict[str, tuple[Failure, ...]] = field(default_factory=dict)  # by cell id
    messages: Any = None  # stream from the worker that has the shard
    started: float = 0.0  # when it was sent, or when its latest outcome arrived

    def __post_init__(self) -> None:
        self.left = {cell.id: cell for batch in self.batches for cell in batch}
        """Cells without an outcome, by id."""

    @property
    def fit_id(self) -> str:
        """The fit of its first cell: the fit of all cells, where they train."""
        return self.batches[0][0].fit_id

    @property
    def variant(self) -> str:
        """The variant of its first cell."""
        return self.batches[0][0].variant

    def batch(self, cell_id: str) -> list[Cell]:
        """Return the cells without an outcome of a cell's batch; empty for an unknown cell."""
        return [
            cell
            for batch in self.batches
            if any(one.id == cell_id for one in batch)
            for cell in batch
            if cell.id in self.left
        ]

    def rest(self) -> Package:
        """Return the package, reduced to the jobs without an outcome."""
        jobs = [
            [job for job in batch if job.cell.id in self.left] for batch in self.package.content
        ]
        return replace(self.package, content=[batch for batch in jobs if batch])


@dataclass
class WorkerHandle:
    """A worker actor as the driver sees it."""

    actor: Any
    node: Node
    number: int  # on its node, from 1
    started: Any  # reference: the worker's environment, available when the worker is ready
    ready: bool = False
    shards: list[Shard] = field(default_factory=list)  # the first one runs
    cell_id: str = ""  # of the running cell

    @property
    def name(self) -> str:
        """Name for display, such as `node#1`."""
        return f"{self.node.name}#{self.number}"

    @property
    def under_way(self) -> list[Cell]:
        """The running cells."""
        return self.shards[0].batch(self.cell_id) if self.shards else []


class WorkerPool:
    """Starts worker actors and closes them.

    Args:
        cluster: The nodes.
        resources: Shared by all cells.
        timeout: Limit for a cell, seconds.
        warn: Called with the text of each warning.
    """

    def __init__(
        self,
        cluster: Cluster,
        resources: Resources,
        timeout: float | None,
        warn: Callable[[str], None],
    ) -> None:
        self.workers = list[WorkerHandle]()
        self.environment = dict(resources.environment)
        """Of the first worker, as soon as it is ready."""
        self.packer = Packer(ray.put)
        self._cluster, self._timeout, self._warn = cluster, timeout, warn
        self._source = _on_node(
            ray.get_runtime_context().get_node_id(), FileSource, num_cpus=0
        ).remote()
        self._resources = self.packer.pack_resources(replace(resources, store=None))
        self._nodes = list(cluster.nodes)  # without those whose worker failed to start
        self._alive: set[str] = set()  # ids of nodes at the last refresh
        self._created = self._refreshed = time.monotonic()
        self._max_ready, self._used_nodes = 0, set[str]()
        self._may_warn = True

    @property
    def size(self) -> str:
        """The largest number of workers at a time, and the number of nodes, as text."""
        return f"{self._max_ready} on {len(self._used_nodes)} of Ray's nodes"

    @property
    def ready(self) -> list[WorkerHandle]:
        """The workers that accept shards."""
        return [worker for worker in self.workers if worker.ready]

    def refresh(self, after: float = 0.0) -> None:
        """Update the list of nodes, unless the last update is more recent than `after` seconds.

        Raises:
            WorkerError: No node is left.
        """
        now = time.monotonic()
        if now - self._refreshed < after:
            return
        self._refreshed = now
        self._alive = self._cluster.inspector.alive()
        for result in self._cluster.inspector.results():
            if isinstance(result, str):
                self._warn(result)
            elif self._cluster.accepts(result):
                self._nodes.append(result)
        if not any(node.id in self._alive for node in self._nodes):
            raise WorkerError("No node of the cluster is left. Run the same command to resume.")
        if self._may_warn and now - self._created > START_WARNING_SECONDS:
            self._may_warn = False
            self._warn("no worker is ready yet; `ray status` shows what else uses the cluster")

    def is_usable(self, node: Node) -> bool:
        """Return whether a node was alive at the last refresh and its workers can start."""
        return node.id in self._alive and node in self._nodes

    def start_worker(self) -> bool:
        """Start a worker on the node with the most room; return False if no node has room."""
        used = Counter(worker.node.id for worker in self.workers)
        room = {
            node: self._cluster.slots(node) - used[node.id]
            for node in self._nodes
            if self.is_usable(node)
        }
        node = max(room, key=lambda node: room[node], default=None)
        if node is None or room[node] <= 0:
            return False
        numbers = {worker.number for worker in self.workers if worker.node is node}
        number = next(number for number in count(1) if number not in numbers)
        # Four threads: two shards, and the methods that control the actor.
        actor = _on_node(
            node.id, WorkerActor, max_concurrency=4, **self._cluster.worker_resources
        ).remote(self._source, self._cluster.threads, self._timeout)
        self.workers.append(WorkerHandle(actor, node, number, actor.start.remote(self._resources)))
        return True

    def mark_ready(self, worker: WorkerHandle) -> None:
        """Accept a worker that has started.

        Raises:
            RayError: The worker failed to start.
        """
        environment = ray.get(worker.started)
        if not self._used_nodes:
            self.environment = {k: v for k, v in environment.items() if k != "node"}
        worker.ready, self._may_warn = True, False
        self._used_nodes.add(worker.node.id)
        self._max_ready = max(self._max_ready, len(self.ready))

    def remove(self, worker: WorkerHandle, *, exclude_node: bool = False) -> None:
        """Kill a lost worker; exclude its node from the run where workers cannot start there."""
        with suppress(ray.exceptions.RayError):
            ray.kill(worker.actor)
        self.workers.remove(worker)
        if exclude_node and worker.node in self._nodes:
            self._nodes.remove(worker.node)

    def calibrations(self) -> list[Calibration]:
        """Measure the speed of all workers again; return the largest drift for each size."""
        worst: dict[int, Calibration] = {}
        for reference in [worker.actor.calibrations.remote() for worker in self.ready]:
            with suppress(ray.exceptions.RayError):
                for one in ray.get(reference):
                    known = worst.setdefault(one.size, one)
                    worst[one.size] = max(known, one, key=lambda calibration: calibration.drift)
        return [worst[size] for size in sorted(worst)]

    def close(self, *, now: bool) -> None:
        """Close all workers and the file source."""
        if closing := [worker.actor.close.remote() for worker in self.ready]:
            seconds = CLOSE_NOW_SECONDS if now else CLOSE_SECONDS
            ray.wait(closing, num_returns=len(closing), timeout=seconds)
        for actor in [*(worker.actor for worker in self.workers), self._source]:
            ray.kill(actor)
        self.workers.clear()


def _on_node(node_id: str, actor_class: type, **resources: float) -> Any:
    """Return an actor class whose instances live on one node and never restart."""
    affinity = NodeAffinitySchedulingStrategy(node_id, soft=False)
    remote: Any = ray.remote  # its type lacks this strategy
    return remote(max_restarts=0, max_task_retries=0, scheduling_strategy=affinity, **resources)(
        actor_class
    )
