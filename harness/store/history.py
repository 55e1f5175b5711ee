"""The runs of a suite: the latest one, and the earlier ones that a page can still be about."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from harness.errors import RecordError
from harness.records import Run
from harness.store.folder import SuiteFolder
from harness.store.serialization import dump, read_run


class RunHistory(SuiteFolder):
    """`run.json`, `suite.yaml` and `history/` of a suite, as of one of its runs."""

    def __init__(self, out: Path, suite: str, revision: Run | None = None) -> None:
        """Open the results of a suite, as of its latest run unless `revision` is an earlier one."""
        super().__init__(out, suite)
        self._revision = revision

    def write_run(self, run: Run) -> None:
        """Write the latest run; add it to the history unless it only reused an earlier one."""
        before = self._newest()
        if before and not self._history():  # written by a version without a history
            self._add_to_history(before, suite="")
        if not (before and _repeats(run, before)):
            self._add_to_history(run, self._read_text("suite.yaml"))
        self._write_text("run.json", dump(run))

    def add_run(self, run: Run, suite: str) -> None:
        """Add a run of another store to the history; it becomes the latest if none is newer."""
        before = self._newest()
        if before and not self._history():
            self._add_to_history(before, suite="")
        self._add_to_history(run, suite)
        if before is None or before.started <= run.started:
            self._write_text("suite.yaml", suite)
            self._write_text("run.json", dump(run))

    def run(self) -> Run:
        """Return the run that this store is about.

        Raises:
            RecordError: There are no results, or the file cannot be read.
        """
        if self._revision:
            return self._revision
        path = self.root / "run.json"
        if not path.exists():
            raise RecordError(
                f"{self.root} holds no results. `nstbench run suites/{self.suite}.yaml` creates "
                "them; --out selects another folder."
            )
        return read_run(path)

    def revisions(self) -> list[Run]:
        """Return the runs that a page can be about, the oldest first; the last is the latest.

        Consecutive runs with one plan share their cells and count as one revision: an interrupted
        run and those that continued it, or a run and its repetition with `--fresh`.
        """
        runs = [read_run(path) for path in self._history()] or [self.run()]
        return [list(alike)[-1] for _, alike in groupby(runs, key=lambda run: run.aim)]

    def start_times(self) -> set[str]:
        """Return the start time of every stored run."""
        latest = [self.root / "run.json"] if (self.root / "run.json").exists() else []
        return {read_run(path).started for path in (*self._history(), *latest)}

    def write_suite(self, text: str) -> None:
        """Write the resolved suite."""
        self._write_text("suite.yaml", text)

    def suite_text(self) -> str:
        """Return the resolved suite, or an empty text where none was stored."""
        name = _history_name(self._revision) if self._revision else "suite"
        return self._read_text(f"{name}.yaml")

    def _history(self) -> list[Path]:
        return sorted(self.root.glob("history/[0-9]*.json"))

    def _newest(self) -> Run | None:
        """Return the newest run, or None where there is none or it cannot be read."""
        path = (self._history() or [self.root / "run.json"])[-1]
        try:
            return read_run(path) if path.exists() else None
        except RecordError:
            return None  # the new run replaces it, or is stored beside it

    def _add_to_history(self, run: Run, suite: str) -> None:
        self._write_text(f"{_history_name(run)}.json", dump(run))
        if suite:
            self._write_text(f"{_history_name(run)}.yaml", suite)


def _repeats(run: Run, before: Run) -> bool:
    """Return whether a run reused all cells of an earlier one, and so is no new revision."""
    done = before.finished and before.aim == run.aim and run.reused == len(run.cells)
    return done and run.started != before.started


def _history_name(run: Run) -> str:
    # Some file systems do not allow colons.
    return f"history/{re.sub('[^0-9A-Za-z+.]+', '-', run.started)}"
