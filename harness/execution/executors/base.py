"""Where cells run. An executor takes jobs and gives outcomes; it decides nothing about results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from harness.execution.jobs import Job, Outcome
from harness.records import Calibration, Cell


class Executor(Protocol):
    """Runs jobs in processes that it watches over, here or elsewhere."""

    finishing: bool
    """No further cell begins."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What its workers stand on."""

    @property
    def under_way(self) -> list[Cell]:
        """The cells that workers are at."""

    def start(self) -> None:
        """Begin to start; the first job need not wait for it then."""

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job; those of a batch run together.

        Raises:
            WorkerError: No worker can be started.
        """

    def finish(self) -> None:
        """Let what runs come to its end and begin no other; a signal handler may call it."""

    def calibrations(self) -> list[Calibration]:
        """Have the machine's pace measured again, at the sizes that ran."""

    def close(self, *, now: bool = False) -> None:
        """End the workers: after their last job, or at once."""
