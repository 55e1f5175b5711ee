"""The stations of a run: opened where the fleet has room, looked after, closed at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from harness.errors import WorkerError
from harness.execution.executors.local import temporary_folder
from harness.execution.executors.ray.actor import Depot, WorkerActor
from harness.execution.executors.ray.cluster import Cluster, Node
from harness.execution.executors.ray.object_transfer import Package, Packer, files_of
from harness.plan import Resources
from harness.records import Calibration, Cell, Failure

ROLL_CALL_SECONDS = 5.0
"""How often it is looked which nodes are there: for one that was lost, others have room."""

PATIENCE_SECONDS = 30.0
"""After that it is said that the cluster gives no room."""

FAREWELL_SECONDS, MOMENT_SECONDS = 10.0, 2.0
"""After that a station that does not end is killed: sooner where it is to end now."""


@dataclass
class Shard:
    """What a station is given at a time: cells of one training, or those of one batch."""

    freight: Package
    left: dict[str, Cell]  # by id
    together: Mapping[str, Sequence[str]]  # cell id -> ids of its batch
    attempts: dict[str, tuple[Failure, ...]] = field(default_factory=dict)

    @property
    def fit_id(self) -> str:
        """The id of its first cell's fit: of all cells, where they train."""
        return next(iter(self.left.values())).fit_id

    @property
    def variant(self) -> str:
        """The variant of its cells."""
        return next(iter(self.left.values())).variant if self.left else ""

    def batch(self, cell_id: str) -> list[Cell]:
        """Return what is left of the batch that a cell is in; nothing for another shard's."""
        return [self.left[id_] for id_ in self.together.get(cell_id, ()) if id_ in self.left]


@dataclass
class Task:
    """A shard that a station was given."""

    shard: Shard
    messages: Any  # from the station, as they come
    begun: float


@dataclass
class WorkerHandle:
    """A station as the driver sees it."""

    actor: Any
    node: Node
    number: int  # on its node, from 1
    greeting: Any  # comes when it is ready
    ready: bool = False
    tasks: list[Task] = field(default_factory=list)  # the first runs
    cell_id: str = ""  # that it is at

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.node.name}#{self.number}"

    @property
    def under_way(self) -> list[Cell]:
        """The cells that it is at."""
        return self.tasks[0].shard.batch(self.cell_id) if self.tasks else []


class WorkerPool:
    """Opens stations and closes them.

    Args:
        fleet: The nodes.
        setup: What all cells share.
        timeout: Seconds that a cell may take.
        warn: Is told what is no reason to stop.
    """

    def __init__(
        self, fleet: Cluster, setup: Resources, timeout: float | None, warn: Callable[[str], None]
    ) -> None:
        self.fleet, self.posts = fleet, list[WorkerHandle]()
        self.environment = dict(setup.environment)
        """Of the first worker, as soon as one is there."""
        self._ray, self._timeout, self._warn = fleet.ray, timeout, warn
        self._folder = temporary_folder()
        self._depot = self._on(self._here, Depot, num_cpus=0).remote()
        self.packer = Packer(Path(self._folder.name), self._offer)
        self._setup = self.packer.pack(replace(setup, store=None), files_of(setup))
        self._nodes = list(fleet.nodes)  # but for those that cannot do it
        self._there: set[str] = set()  # ids of nodes, at the last roll call
        self._begun = self._roll_call = time.monotonic()
        self._most, self._worked = 0, set[str]()  # stations at once; nodes that had one
        self._patient = True

    @property
    def strength(self) -> str:
        """How many worked for the run, and where."""
        return f"{self._most} on {len(self._worked)} of Ray's nodes"

    @property
    def ready(self) -> list[WorkerHandle]:
        """The stations that can be given work."""
        return [post for post in self.posts if post.ready]

    def look_after(self) -> None:
        """See now and then which nodes are there."""
        if time.monotonic() - self._roll_call > ROLL_CALL_SECONDS:
            self.refresh_nodes()

    def refresh_nodes(self) -> None:
        """See which nodes are there, and take those that came since.

        Raises:
            WorkerError: None is left.
        """
        self._roll_call = time.monotonic()
        self._there = self.fleet.census.there()
        for answer in self.fleet.census.answers():
            if isinstance(answer, str):
                self._warn(answer)
            elif self.fleet.takes(answer):
                self._nodes.append(answer)
        if not any(node.id in self._there for node in self._nodes):
            raise WorkerError("No node of the cluster is left. The same command goes on from here.")
        if self._patient and self._roll_call - self._begun > PATIENCE_SECONDS:
            self._patient = False
            self._warn("no worker has begun yet: others may use the cluster (`ray status` tells)")

    def lives(self, node: Node) -> bool:
        """Tell whether a node can be used, by the last roll call."""
        return node.id in self._there and node in self._nodes

    def open_one(self) -> bool:
        """Open a station on the node with most room, if there is any; it is not ready yet."""
        taken = Counter(post.node.id for post in self.posts)
        room = {n: self.fleet.slots(n) - taken[n.id] for n in self._nodes if self.lives(n)}
        node = max(room, key=lambda node: room[node], default=None)
        if node is None or room[node] <= 0:
            return False
        here = {post.number for post in self.posts if post.node is node}
        number = next(number for number in count(1) if number not in here)
        threads = self.fleet.threads
        actor = self._on(node.id, WorkerActor, max_concurrency=4, **self.fleet.of_a_worker).remote(
            self._depot, threads, self._timeout
        )
        self.posts.append(WorkerHandle(actor, node, number, actor.begin.remote(self._setup)))
        return True

    def welcome(self, post: WorkerHandle) -> None:
        """Take note that a station is ready.

        Raises:
            RayError: It is not.
        """
        found = self._ray.get(post.greeting)
        if not self._worked:
            self.environment = {k: v for k, v in found.items() if k != "node"}
        post.ready, self._patient = True, False
        self._worked.add(post.node.id)
        self._most = max(self._most, len(self.ready))

    def dismiss(self, post: WorkerHandle, *, its_node: bool = False) -> None:
        """Kill a station that was lost; and take its node no more, where that cannot do it."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(post.actor)
        self.posts.remove(post)
        if its_node and post.node in self._nodes:
            self._nodes.remove(post.node)

    def calibrations(self) -> list[Calibration]:
        """Have the pace of every worker measured again: of each size, the one that drifted most."""
        worst: dict[int, Calibration] = {}
        for answer in [post.actor.calibrations.remote() for post in self.ready]:
            with suppress(self._ray.exceptions.RayError):
                for found in self._ray.get(answer):
                    known = worst.setdefault(found.size, found)
                    worst[found.size] = max(known, found, key=lambda pace: pace.drift)
        return [worst[size] for size in sorted(worst)]

    def close(self, *, now: bool) -> None:
        """Close all stations, and what was begun for them."""
        if ending := [post.actor.close.remote() for post in self.ready]:
            seconds = MOMENT_SECONDS if now else FAREWELL_SECONDS
            self._ray.wait(ending, num_returns=len(ending), timeout=seconds)
        for actor in [*(post.actor for post in self.posts), self._depot]:
            self._ray.kill(actor)
        self.posts.clear()
        self._folder.cleanup()

    @property
    def _here(self) -> str:
        node_id: str = self._ray.get_runtime_context().get_node_id()
        return node_id

    def _offer(self, paths: Mapping[str, Path]) -> None:
        self._ray.get(self._depot.offer.remote({k: path.resolve() for k, path in paths.items()}))

    def _on(self, node_id: str, what: type, **resources: float) -> Any:
        """Return a class whose instances live on a node; Ray begins none of them anew."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        return self._ray.remote(
            max_restarts=0, max_task_retries=0, scheduling_strategy=there, **resources
        )(what)
