"""The interfaces of executors and of what receives their progress.

An executor runs jobs and yields outcomes; it interprets neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from harness.execution.jobs import Job, Outcome
from harness.records import Calibration, Cell


class Watch(Protocol):
    """Receives the progress of a run."""

    def progress(self, cell_id: str, phase: str, index: int, of: int, place: str = "") -> None:
        """Update the progress of a cell; `place` is the name of the worker."""

    def workers_changed(self, places: Sequence[str]) -> None:
        """Update the list of worker names."""

    def warn(self, text: str) -> None:
        """Show a warning."""


class Executor(Protocol):
    """Runs jobs in supervised worker processes, on this machine or on others."""

    finishing: bool
    """Whether `finish` was called: no further cell starts."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Versions and hardware of the workers."""

    @property
    def under_way(self) -> list[Cell]:
        """The running cells."""

    def start(self) -> None:
        """Start a worker without waiting for it, so that the first job starts sooner."""

    def run(self, batches: Iterable[Sequence[Job]]) -> Iterator[Outcome]:
        """Yield the outcome of every job; the jobs of a batch run together.

        Raises:
            WorkerError: No worker can be started.
        """

    def finish(self) -> None:
        """Complete the running cells and start no others. Safe to call from a signal handler."""

    def calibrations(self) -> list[Calibration]:
        """Measure the machine's speed again, for the sizes that ran."""

    def close(self, *, now: bool = False) -> None:
        """End the workers: after their last job, or at once."""
