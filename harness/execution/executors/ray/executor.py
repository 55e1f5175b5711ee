"""Cells on all GPUs of a machine, or of a cluster, through Ray.

Ray finds the GPUs, starts processes there and tells when one is gone. What runs where, is tried
again and written is decided here: the driver alone writes the store and MLflow, and Ray retries
nothing, so that every attempt is on record.
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

from harness.errors import NstbenchError, WorkerError
from harness.execution.executors.ray.cluster import Cluster
from harness.execution.executors.ray.object_transfer import Package, files_of_job
from harness.execution.executors.ray.worker_pool import Shard, Task, WorkerHandle, WorkerPool
from harness.execution.jobs import Job, Outcome
from harness.plan import Resources
from harness.records import Calibration, Cell, Failure, Record

LOOK_SECONDS = 0.5
"""How often it is looked whether the run is to end, and who is there."""

QUICK_SECONDS = 5.0
"""A station gets its next cell ahead where cells take less: it would stand still for some of it.
Where they take longer, another station may be free sooner."""

MAX_WORKER_DEATHS = 3
"""So many stations that died one after the other, with no cell done between: no use in more."""


class Watch(Protocol):
    """Is told how the run goes."""

    def progress(self, cell_id: str, phase: str, index: int, of: int, place: str = "") -> None:
        """A worker stands here."""

    def staffed(self, places: Sequence[str]) -> None:
        """There is a worker at each of these places."""

    def warn(self, text: str) -> None:
        """Something went wrong that is no reason to stop."""


class RayExecutor:
    """Runs jobs wherever the fleet has room, in no order; `run` is to be called once.

    Args:
        fleet: The nodes that it takes.
        setup: What all cells share.
        watch: Is told.
        timeout: Seconds that a cell may take, its fit included.
    """

    def __init__(
        self, fleet: Cluster, setup: Resources, watch: Watch, timeout: float | None = None
    ) -> None:
        self.finishing = False  # no further cell begins
        self._ray, self._watch, self._store = fleet.ray, watch, setup.store
        with self._told():
            self._crew = WorkerPool(fleet, setup, timeout, watch.warn)
        self._waiting: deque[Shard] = deque()
        self._told_to_finish = False
        self._deaths = 0  # in a row, on nodes that live
        self._seconds: dict[str, float] = {}  # that the last batch of each variant took
        self._turn = 0  # whose it is to be heard first

    @property
    def environment(self) -> Mapping[str, str]:
        """What the first worker stands on, and how many there were."""
        return {**self._crew.environment, "workers": self._crew.strength}

    @property
    def under_way(self) -> list[Cell]:
        """The cells that workers are at."""
        return [cell for post in self._crew.posts for cell in post.under_way]

    def start(self) -> None:
        """Have one station open; the others follow as there is work for them."""
        self._crew.refresh_nodes()
        self._crew.open_one()

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job as it comes; those of a batch run together.

        Raises:
            WorkerError: No worker can be started, or no node is left.
        """
        upcoming = self._shards(batches)
        with self._told():
            while True:
                self._crew.look_after()
                if self.finishing:
                    self._pass_it_on()
                self._hand_out(upcoming)
                if not self._waiting and not any(post.tasks for post in self._crew.posts):
                    return
                for post, task in self._who_speaks():
                    yield from self._hear(post, task)

    def finish(self) -> None:
        """Let running cells come to their end and begin no other; a signal handler may call it."""
        self.finishing = True

    def calibrations(self) -> list[Calibration]:
        """Have the pace of every worker measured again: of each size, the one that drifted most."""
        return self._crew.calibrations()

    def close(self, *, now: bool = False) -> None:
        """Close all stations: those that are at a cell, too."""
        self._crew.close(now=now)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what Ray raises where no station is to blame into an error of ours."""
        try:
            yield
        except self._ray.exceptions.RayTaskError:
            raise  # a bug of ours
        except self._ray.exceptions.RayError as error:
            why = str(error).strip().splitlines()[0]
            raise WorkerError(
                f"The cluster failed: {why} The same command goes on from here."
            ) from error

    def _shards(self, batches: Iterable[Sequence[Job]]) -> Iterator[Shard]:
        """Put together what shares a training; what does not train can go anywhere by itself."""
        for _, group in groupby(enumerate(batches), key=_kinship):
            shard = [list(jobs) for _, jobs in group]
            jobs = [job for batch in shard for job in batch]
            files = [path for job in jobs for path in files_of_job(job)]
            yield Shard(
                self._crew.packer.pack(shard, files),
                {job.cell.id: job.cell for job in jobs},
                {job.cell.id: [one.cell.id for one in batch] for batch in shard for job in batch},
            )

    def _pass_it_on(self) -> None:
        """Tell stations that the run is to end."""
        self._waiting.clear()
        if not self._told_to_finish:
            self._told_to_finish = True
            for post in self._crew.ready:
                post.actor.finish.remote()

    def _hand_out(self, upcoming: Iterator[Shard]) -> None:
        """Give idle stations work; where none is idle, open one more for what waits."""
        while not self.finishing:
            opening = sum(not post.ready for post in self._crew.posts)
            if idle := self._with_tasks(0):
                if not self._gathered(upcoming, 1):
                    return
                self._give(idle)
            elif self._gathered(upcoming, 1 + opening) and self._crew.open_one():
                continue
            elif self._waiting and (soon := self._ready_soon()):
                self._give(soon)
            else:
                return

    def _with_tasks(self, number: int) -> WorkerHandle | None:
        return next((post for post in self._crew.ready if len(post.tasks) == number), None)

    def _ready_soon(self) -> WorkerHandle | None:
        """Return a station whose only shard is of a variant that was quick."""
        posts = (post for post in self._crew.ready if len(post.tasks) == 1)
        quick = (
            p for p in posts if self._seconds.get(p.tasks[0].shard.variant, inf) < QUICK_SECONDS
        )
        return next(quick, None)

    def _gathered(self, upcoming: Iterator[Shard], number: int) -> bool:
        """Have so many shards wait, and tell whether there are so many."""
        while len(self._waiting) < number and (shard := next(upcoming, None)):
            self._waiting.append(shard)
        return len(self._waiting) >= number

    def _give(self, post: WorkerHandle) -> None:
        shard = self._waiting.popleft()
        run = post.actor.run.options(num_returns="streaming")
        messages = run.remote(shard.freight, list(shard.left), self._checkpoint(shard))
        post.tasks.append(Task(shard, messages, time.monotonic()))

    def _checkpoint(self, shard: Shard) -> Package | None:
        """Return what an earlier training of the shard left, packed."""
        path = self._store.checkpoint_path(shard.fit_id) if self._store else None
        return self._crew.packer.pack(path.read_bytes()) if path and path.exists() else None

    def _who_speaks(self) -> list[tuple[WorkerHandle, Task | None]]:
        """Wait a moment for a station that has something to say: each is heard in its turn."""
        posts = self._crew.posts
        speakers: dict[Any, tuple[WorkerHandle, Task | None]] = {
            **{post.greeting: (post, None) for post in posts if not post.ready},
            **{task.messages: (post, task) for post in posts for task in post.tasks},
        }
        if not speakers:
            time.sleep(LOOK_SECONDS)
            return []
        self._turn = (self._turn + 1) % len(speakers)
        order = list(speakers)
        order = order[self._turn :] + order[: self._turn]
        heard, _ = self._ray.wait(order, num_returns=1, timeout=LOOK_SECONDS)
        return [speakers[one] for one in heard]

    def _hear(self, post: WorkerHandle, task: Task | None) -> Iterator[Outcome]:
        """Take what a station has to say: that it is ready, or of a shard."""
        exceptions = self._ray.exceptions
        try:
            if task is None:
                self._crew.welcome(post)
                self._tell_the_staff()
                return
            message = self._ray.get(next(task.messages))
        except StopIteration:
            post.tasks = [one for one in post.tasks if one is not task]
        except exceptions.RayTaskError as error:
            if not isinstance(error.cause, NstbenchError):
                raise  # a bug of ours
            why = f"{error.cause} {post.node.name} is left out from here on."
            yield from self._lost(post, why, its_node=True)
        except exceptions.RayError as error:
            self._crew.refresh_nodes()
            silent = isinstance(error, exceptions.ActorUnavailableError)
            why = "ended its process" if not silent else "does not answer"
            why = why if self._crew.lives(post.node) else "is gone"
            yield from self._lost(post, f"{post.node.name} {why}.", str(error))
        else:
            yield from self._take(post, task, *message)

    def _take(self, post: WorkerHandle, task: Task, kind: str, *what: Any) -> Iterator[Outcome]:
        if kind == "at":
            post.cell_id, phase, index, of = what
            self._watch.progress(post.cell_id, phase, index, of, post.name)
        elif kind == "checkpoint":
            assert self._store is not None
            with suppress(OSError):  # the one before is still there
                self._store.write_checkpoint(*what)
        else:
            (outcome,) = what
            self._deaths = 0
            now = time.monotonic()
            record = outcome.record
            self._seconds[record.cell.variant], task.begun = now - task.begun, now
            before = task.shard.attempts.get(record.cell.id, ())
            # The station's copy of a cell may name files of its node.
            cell = task.shard.left.pop(record.cell.id)
            record = replace(record, cell=cell, attempts=(*before, *record.attempts))
            yield replace(outcome, record=record)

    def _lost(
        self, post: WorkerHandle, why: str, details: str = "", *, its_node: bool = False
    ) -> Iterator[Outcome]:
        """Have the cells of a station that is gone run elsewhere; what it was at only once more."""
        under_way, shards = post.under_way, [task.shard for task in post.tasks]
        self._crew.dismiss(post, its_node=its_node)
        self._tell_the_staff()
        cells = sum(len(shard.left) for shard in shards)
        elsewhere = f" {cells} of its cells run elsewhere." if cells and not self.finishing else ""
        self._watch.warn(f"lost the worker {post.name}: {why}{elsewhere}")
        self._deaths += self._crew.lives(post.node)
        if self._deaths >= MAX_WORKER_DEATHS:
            raise WorkerError(f"{self._deaths} workers died one after the other; the last: {why}")
        failure = Failure("Lost", f"Its worker {post.name} was lost: {why}", details)
        for cell in under_way:
            if before := shards[0].attempts.get(cell.id):
                del shards[0].left[cell.id]
                yield Outcome(Record(cell, "crashed", failure=failure, attempts=before))
            else:
                shards[0].attempts[cell.id] = (failure,)
        self._waiting.extendleft(reversed([shard for shard in shards if shard.left]))

    def _tell_the_staff(self) -> None:
        self._watch.staffed([post.name for post in self._crew.ready])


def _kinship(numbered: tuple[int, Sequence[Job]]) -> str:
    number, jobs = numbered
    trains = jobs[0].cell.training and not jobs[0].stored
    return jobs[0].cell.fit_id if trains else str(number)
