"""Shards of cells, and the worker actors that they are assigned to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.execution.executors.ray.cluster import Place
from harness.execution.executors.ray.object_transfer import Package, Packer
from harness.execution.jobs import Job
from harness.records import Cell, Failure


class Shard:
    """Batches for one worker: all that share a training, or a single one."""

    def __init__(self, package: Package) -> None:
        self._files = package.files
        self._batches = [{job.cell.id: job for job in batch} for batch in package.content]
        self.first: Cell = package.content[0][0].cell
        self.attempts: dict[str, Failure] = {}  # of lost cells, by id
        self.messages: Any = None  # stream from the worker that has the shard
        self.started = 0.0  # when it was sent, or when its latest outcome arrived

    @property
    def left(self) -> int:
        """The number of cells without an outcome."""
        return sum(map(len, self._batches))

    @property
    def package(self) -> Package:
        """The jobs without an outcome, with their files."""
        return Package([list(batch.values()) for batch in self._batches if batch], self._files)

    def batch(self, cell_id: str) -> dict[str, Job]:
        """Return the jobs without an outcome of a cell's batch, by cell id; empty if unknown."""
        return next((batch for batch in self._batches if cell_id in batch), {})


@dataclass
class WorkerHandle:
    """A worker actor as the driver sees it."""

    actor: Any
    place: Place
    started: Any  # reference: the worker's environment, available when the worker is ready
    ready: bool = False
    shards: list[Shard] = field(default_factory=list)  # the first one runs
    cell_id: str = ""  # of the running cell

    @property
    def name(self) -> str:
        """Name for display, such as `node#1`."""
        return f"{self.place.node.name}#{self.place.number}"

    @property
    def under_way(self) -> list[Cell]:
        """The running cells."""
        batch: Mapping[str, Job] = self.shards[0].batch(self.cell_id) if self.shards else {}
        return [job.cell for job in batch.values()]

    @property
    def next_message(self) -> Any:
        """What `ray.wait` can wait for: the start or the running shard; None for an idle worker."""
        if not self.ready:
            return self.started
        return self.shards[0].messages if self.shards else None


def pack_shards(batches: Iterable[Sequence[Job]], packer: Packer) -> Iterator[Shard]:
    """Group batches that share a training; each other batch is a shard."""
    for _, group in groupby(enumerate(batches), key=_shard_key):
        yield Shard(packer.pack_jobs([batch for _, batch in group]))


def _shard_key(numbered: tuple[int, Sequence[Job]]) -> str:
    number, jobs = numbered
    trains = jobs[0].cell.training and not jobs[0].stored
    return jobs[0].cell.fit_id if trains else str(number)


def on_node(node_id: str, actor_class: type, **options: Any) -> Any:
    """Return an actor class whose instances live on one node.

    Ray's own restarts and retries are off. A repeated task would hide the failed attempt, which has
    to be on record, and would run cells again whose outcomes have arrived.
    """
    affinity = NodeAffinitySchedulingStrategy(node_id, soft=False)
    remote: Any = ray.remote  # its type lacks this strategy
    return remote(max_restarts=0, max_task_retries=0, scheduling_strategy=affinity, **options)(
        actor_class
    )
