"""Cells on all GPUs of a machine, or of a cluster, through Ray.

Ray gives each station its node and GPU and tells when one is gone. What is run where, tried again
and written stays here: the driver alone writes the store and MLflow, and Ray retries nothing.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count, groupby
from pathlib import Path
from typing import Any, Protocol

from harness.errors import NstbenchError, WorkerError
from harness.executors.cluster import Fleet, Node
from harness.executors.freight import Freight, Packer, files_of, files_of_job
from harness.executors.local import temporary_folder
from harness.executors.station import Depot, Station
from harness.jobs import Job, Outcome, Setup
from harness.records import Calibration, Cell, Failure, Record

LOOK_SECONDS = 0.5
"""How often it is looked whether the run is to end."""

ROLL_CALL_SECONDS = 5.0
"""How often it is looked which nodes are there: for one that was lost, others have room."""

PATIENCE_SECONDS = 30.0
"""After that it is said that the cluster gives no room."""

FAREWELL_SECONDS, MOMENT_SECONDS = 10.0, 2.0
"""After that a station that does not end is killed: sooner where it is to end now."""

MOST_DEATHS = 3
"""So many stations in a row that died before they did anything: there is no use in more."""


class Watch(Protocol):
    """Is told how the run goes."""

    def progress(self, cell_id: str, phase: str, index: int, of: int, place: str = "") -> None:
        """A worker stands here."""

    def staffed(self, places: Sequence[str]) -> None:
        """There is a worker at each of these places."""

    def warn(self, text: str) -> None:
        """Something went wrong that is no reason to stop."""


@dataclass
class _Shard:
    """Cells that share a fit, on their way: what a station is given at a time."""

    freight: Freight
    left: dict[str, Cell]
    together: Mapping[str, Sequence[str]]  # cell id -> ids of its batch
    attempts: dict[str, tuple[Failure, ...]] = field(default_factory=dict)

    @property
    def fit_id(self) -> str:
        return next(iter(self.left.values())).fit_id


@dataclass
class _Post:
    """A station as the driver sees it."""

    actor: Any
    node: Node
    number: int  # on its node, from 1
    hears: Any  # what comes next from it: that it is there, or messages about its shard
    ready: bool = False
    shard: _Shard | None = None
    cell_id: str = ""  # that it is at

    @property
    def place(self) -> str:
        return f"{self.node.name}#{self.number}"


class RayExecutor:
    """Runs jobs wherever the fleet has room, in no order; `run` is to be called once.

    Args:
        fleet: The nodes that it takes.
        setup: What all cells share.
        watch: Is told.
        timeout: Seconds that a cell may take, its fit included.
    """

    def __init__(
        self, fleet: Fleet, setup: Setup, watch: Watch, timeout: float | None = None
    ) -> None:
        self._ray, self._fleet, self._watch, self._timeout = fleet.ray, fleet, watch, timeout
        self._environment: Mapping[str, str] = setup.environment  # of the first worker there is
        self.finishing = False  # no further cell begins
        self._store = setup.store  # of checkpoints
        self._folder = temporary_folder()
        self._depot = self._open_depot()
        self._packer = Packer(Path(self._folder.name), self._offer)
        self._setup = self._packer.pack(replace(setup, store=None), files_of(setup))
        self._posts: list[_Post] = []
        self._waiting: deque[_Shard] = deque()
        self._told_to_finish = self._welcomed = False
        self._nodes = list(fleet.nodes)  # but for those that cannot do it
        self._there: set[str] = set()  # ids of nodes, at the last roll call
        self._begun = self._roll_call = time.monotonic()
        self._deaths = 0  # in a row, on nodes that live
        self._most, self._worked = 0, set[str]()  # workers at once; ids of nodes that had one

    @property
    def environment(self) -> Mapping[str, str]:
        """Of the first worker that there was."""
        places = f"{self._most} on {len(self._worked)} of Ray's nodes"
        return {**self._environment, "workers": places}

    def start(self) -> None:
        """Have one station open; the others follow as there is work for them."""
        self._call_the_roll()
        self._open_one()

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job as it comes; those of a batch run together.

        Raises:
            WorkerError: No worker can be started, or no node is left.
        """
        upcoming = self._shards(batches)
        while True:
            self._look_around()
            self._hand_out(upcoming)
            asked = {post.hears: post for post in self._posts if post.hears is not None}
            if not any(post.shard for post in self._posts) and not self._waiting:
                return
            if not asked:
                time.sleep(LOOK_SECONDS)
                continue
            heard, _ = self._ray.wait(list(asked), num_returns=1, timeout=LOOK_SECONDS)
            for what in heard:
                yield from self._hear(asked[what])
                self._posts.sort(key=lambda post: post is asked[what])  # the others first

    def finish(self) -> None:
        """Let running cells come to their end and begin no other; a signal handler may call it."""
        self.finishing = True

    @property
    def under_way(self) -> list[Cell]:
        """The cells that workers are at."""
        return [
            cell for post in self._posts if post.shard
            for cell in post.shard.left.values() if cell.id in self._batch(post)
        ]  # fmt: skip

    def calibrations(self) -> list[Calibration]:
        """Have the pace of every worker measured again: of each size, the one that drifted most."""
        asked = [post.actor.calibrations.remote() for post in self._posts if post.ready]
        worst: dict[int, Calibration] = {}
        for answer in asked:
            with suppress(self._ray.exceptions.RayError):
                for found in self._ray.get(answer):
                    known = worst.get(found.size)
                    if known is None or found.drift > known.drift:
                        worst[found.size] = found
        return [worst[size] for size in sorted(worst)]

    def close(self, *, now: bool = False) -> None:
        """Close all stations, and what was begun for them."""
        actors = [post.actor for post in self._posts]
        ending = [post.actor.close.remote() for post in self._posts if post.ready]
        if ending:
            seconds = MOMENT_SECONDS if now else FAREWELL_SECONDS
            self._ray.wait(ending, num_returns=len(ending), timeout=seconds)
        for actor in [*actors, self._depot]:
            self._ray.kill(actor)
        self._posts.clear()
        self._folder.cleanup()

    def _open_depot(self) -> Any:
        """Open it on this machine: it reads our files."""
        here = self._ray.get_runtime_context().get_node_id()
        return self._on(here, Depot, num_cpus=0).remote()

    def _offer(self, paths: Mapping[str, Path]) -> None:
        self._ray.get(self._depot.offer.remote({k: path.resolve() for k, path in paths.items()}))

    def _on(self, node_id: str, what: type, **resources: float) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        return self._ray.remote(
            max_restarts=0, max_task_retries=0, scheduling_strategy=there, **resources
        )(what)

    def _shards(self, batches: Iterable[Sequence[Job]]) -> Iterator[_Shard]:
        """Put together what shares a training; what does not train can go anywhere by itself."""
        for _, group in groupby(enumerate(batches), key=_kinship):
            shard = [list(jobs) for _, jobs in group]
            jobs = [job for batch in shard for job in batch]
            files = [path for job in jobs for path in files_of_job(job)]
            yield _Shard(
                self._packer.pack(shard, files),
                {job.cell.id: job.cell for job in jobs},
                {job.cell.id: [j.cell.id for j in batch] for batch in shard for job in batch},
            )

    def _look_around(self) -> None:
        """Pass on the wish to end, and see which nodes there are."""
        if self.finishing and not self._told_to_finish:
            self._told_to_finish = True
            self._waiting.clear()
            for post in filter(lambda post: post.ready, self._posts):
                post.actor.finish.remote()
        if time.monotonic() - self._roll_call > ROLL_CALL_SECONDS:
            self._call_the_roll()

    def _call_the_roll(self) -> None:
        self._there = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        self._roll_call = time.monotonic()
        if not any(node.id in self._there for node in self._nodes):
            raise WorkerError("No node of the cluster is left. The same command goes on from here.")
        if not self._welcomed and self._roll_call - self._begun > PATIENCE_SECONDS:
            self._welcomed = True
            self._watch.warn("no worker has begun yet: others may use the cluster (`ray status`)")

    def _hand_out(self, upcoming: Iterator[_Shard]) -> None:
        """Give idle stations work; where none is idle, open one more for what waits."""
        while not self.finishing:
            idle = next((p for p in self._posts if p.ready and p.shard is None), None)
            opening = sum(not post.ready for post in self._posts)
            if not self._gathered(upcoming, 1 if idle else 1 + opening):
                return
            if idle:
                self._give(idle, self._waiting.popleft())
            elif not self._open_one():
                return

    def _gathered(self, upcoming: Iterator[_Shard], number: int) -> bool:
        """Have so many shards wait, and tell whether there are so many."""
        while len(self._waiting) < number and (shard := next(upcoming, None)):
            self._waiting.append(shard)
        return len(self._waiting) >= number

    def _open_one(self) -> bool:
        """Open a station on the node with most room, if there is any."""
        taken = Counter(post.node.id for post in self._posts)
        room = {n: self._fleet.slots(n) - taken[n.id] for n in self._nodes if n.id in self._there}
        node = max(room, key=lambda node: room[node], default=None)
        if node is None or room[node] <= 0:
            return False
        fleet = self._fleet
        takes = (
            {"num_cpus": fleet.threads}
            if fleet.device == "cpu"
            else {"num_cpus": 1, "num_gpus": fleet.share}
        )
        actor = self._on(node.id, Station, max_concurrency=2, **takes).remote(
            self._depot, fleet.threads, self._timeout
        )
        here = {post.number for post in self._posts if post.node is node}
        number = next(n for n in count(1) if n not in here)
        self._posts.append(_Post(actor, node, number, hears=actor.begin.remote(self._setup)))
        return True

    def _give(self, post: _Post, shard: _Shard) -> None:
        post.shard = shard
        post.hears = post.actor.run.options(num_returns="streaming").remote(
            shard.freight, list(shard.left), self._checkpoint(shard)
        )

    def _checkpoint(self, shard: _Shard) -> Freight | None:
        """Return what an earlier training of the shard left, packed."""
        path = self._store.checkpoint_path(shard.fit_id) if self._store else None
        return self._packer.pack(path.read_bytes()) if path and path.exists() else None

    def _hear(self, post: _Post) -> Iterator[Outcome]:
        """Take what a station has to say."""
        exceptions = self._ray.exceptions
        try:
            if post.ready:
                message = self._ray.get(next(post.hears))
            else:
                self._welcome(post, self._ray.get(post.hears))
                return
        except StopIteration:
            post.shard, post.hears, post.cell_id = None, None, ""
        except exceptions.RayTaskError as error:
            if not isinstance(error.cause, NstbenchError):
                raise  # a bug of ours
            self._nodes.remove(post.node)
            yield from self._lost(post, f"{error.cause} It is left out from here on.")
        except exceptions.RayError as error:
            self._call_the_roll()
            gone = post.node.id not in self._there
            silent = isinstance(error, exceptions.ActorUnavailableError)
            why = "is gone" if gone else "does not answer" if silent else "ended its process"
            yield from self._lost(post, f"{post.node.name} {why}.", str(error))
        else:
            yield from self._take(post, *message)

    def _welcome(self, post: _Post, environment: Mapping[str, str]) -> None:
        if not self._welcomed:
            self._environment = {k: v for k, v in environment.items() if k != "node"}
        self._welcomed = post.ready = True
        post.hears = None
        self._worked.add(post.node.id)
        self._most = max(self._most, sum(post.ready for post in self._posts))
        self._tell_the_staff()

    def _tell_the_staff(self) -> None:
        self._watch.staffed([post.place for post in self._posts if post.ready])

    def _take(self, post: _Post, kind: str, *what: Any) -> Iterator[Outcome]:
        assert post.shard is not None
        if kind == "at":
            post.cell_id, phase, index, of = what
            self._watch.progress(post.cell_id, phase, index, of, post.place)
        elif kind == "checkpoint":
            assert self._store is not None
            with suppress(OSError):  # the one before is still there
                self._store.write_checkpoint(*what)
        else:
            self._deaths = 0
            record = what[0].record
            before = post.shard.attempts.get(record.cell.id, ())
            # Of its own the station's copy may name files of the node.
            cell = post.shard.left.pop(record.cell.id)
            record = replace(record, cell=cell, attempts=(*before, *record.attempts))
            yield replace(what[0], record=record)

    def _lost(self, post: _Post, why: str, details: str = "") -> Iterator[Outcome]:
        """Have the cells of a station that is gone run elsewhere; what it was at only once more."""
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(post.actor)
        self._posts.remove(post)
        self._tell_the_staff()
        cells = len(post.shard.left) if post.shard else 0
        elsewhere = f" {cells} of its cells run elsewhere." if cells else ""
        self._watch.warn(f"lost the worker {post.place}: {why}{elsewhere}")
        if post.node.id in self._there and post.node in self._nodes:
            self._deaths += 1  # not for want of a node
        if self._deaths >= MOST_DEATHS:
            raise WorkerError(f"{self._deaths} workers died one after the other; the last: {why}")
        if post.shard and not self.finishing:
            failure = Failure("Lost", f"Its worker {post.place} was lost: {why}", details)
            yield from self._tried(post.shard, self._batch(post), failure)
            if post.shard.left:
                self._waiting.appendleft(post.shard)

    def _tried(
        self, shard: _Shard, under_way: Sequence[str], failure: Failure
    ) -> Iterator[Outcome]:
        for cell_id in under_way:
            if before := shard.attempts.get(cell_id):
                cell = shard.left.pop(cell_id)
                yield Outcome(Record(cell, "crashed", failure=failure, attempts=before))
            else:
                shard.attempts[cell_id] = (failure,)

    def _batch(self, post: _Post) -> list[str]:
        """Return the ids of the cells that a station is at."""
        assert post.shard is not None
        return [id_ for id_ in post.shard.together.get(post.cell_id, ()) if id_ in post.shard.left]


def _kinship(numbered: tuple[int, Sequence[Job]]) -> str:
    number, jobs = numbered
    trains = jobs[0].cell.training and not jobs[0].stored
    return jobs[0].cell.fit_id if trains else str(number)
