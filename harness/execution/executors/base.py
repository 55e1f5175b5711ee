"""The interface of executors, which run jobs and return outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from harness.execution.jobs import Job, Outcome
from harness.records import Calibration, Cell


class Executor(Protocol):
    """Runs jobs in supervised processes, on this machine or on others."""

    finishing: bool
    """True if no further cell starts."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Versions and hardware of the workers."""

    @property
    def under_way(self) -> list[Cell]:
        """The cells that workers run."""

    def start(self) -> None:
        """Start workers in the background."""

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job; the jobs of a batch run together.

        Raises:
            WorkerError: No worker can be started.
        """

    def finish(self) -> None:
        """Finish running cells and start no other; safe to call in a signal handler."""

    def calibrations(self) -> list[Calibration]:
        """Measure the machine's pace again at every size that ran."""

    def close(self, *, now: bool = False) -> None:
        """End the workers after their last job, or at once."""
