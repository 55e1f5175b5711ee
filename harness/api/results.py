"""`nstbench.load`: the stored results of a suite as data frames, images, verdicts and a page."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image as Pillow

from harness import filesystem
from harness.api import comparison, settings
from harness.errors import RecordError, UnknownNameError, UsageError, nearest, quoted
from harness.store import IMAGE_FORMATS, revisions
from reports import notebook
from reports.view_model import View

if TYPE_CHECKING:
    from harness.store.revisions import Revision


class Results:
    """The results of one run of a suite, as of the time when they were loaded."""

    def __init__(self, revision: Revision) -> None:
        """Read the records of a run.

        Raises:
            RecordError: There are no results, or they cannot be read.
        """
        self._revision, self._view = revision, View(revision.store)
        self.suite: str = self._view.run.suite
        """Name of the suite."""
        self.folder: Path = revision.store.root
        """The folder of the results."""
        self.warnings: tuple[str, ...] = self._view.run.warnings
        """What the run lacked or replaced."""

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell, the skipped ones last, with the columns of results.csv."""
        return self._view.frame.copy()

    def image(self, cell: str | int | Mapping[str, Any] | pd.Series) -> Pillow.Image:
        """Return the stylized image of a cell.

        Args:
            cell: An id, a name, a row of `cells`, or the number of a row.

        Raises:
            UnknownNameError: There is no such cell.
            UsageError: The cell has no image; the message has the reason.
            RecordError: The file of the image cannot be read.
        """
        row = self._row(cell)
        path = self._revision.store.image(row["cell"]) if row["cell"] else None
        if path is None:
            reason = row["reason"] if row.get("reason") else "the file is missing"
            raise UsageError(f"{row['name']} has no image ({row['status']}): {reason}")
        try:
            with Pillow.open(path, formats=IMAGE_FORMATS) as file:
                return file.convert("RGB")
        except (OSError, Pillow.DecompressionBombError) as error:
            raise RecordError(f"{path} cannot be read as an image: {error}") from error

    def compare(
        self, by: str = "", *, metrics: Sequence[str] = (), baseline: str = ""
    ) -> pd.DataFrame:
        """Return effects with intervals and verdicts, as `nstbench compare` prints them.

        Args:
            by: The parameter whose levels are compared, all else equal; empty compares variants.
            metrics: Scores or costs; by default all scores.
            baseline: The level or variant to compare with; by default the first one.

        Raises:
            UsageError: There is nothing to compare, or no such parameter, metric or baseline.
        """
        rows = comparison.comparison_rows(self._revision, by=by, metrics=metrics, baseline=baseline)
        return comparison.frame(rows)

    def claims(self) -> pd.DataFrame:
        """Return the verdicts on the claims of the suite, as `nstbench claims` prints them.

        Raises:
            UsageError: The suite has no claims.
        """
        return comparison.frame(comparison.claim_rows(self._revision))

    def page(self, *, folder: bool = False) -> Path:
        """Render the page and return its path; `folder` also stores lossless images beside it."""
        found = {self._revision.label: self._revision}
        return comparison.write_page(found, self.folder.parent, folder=folder)

    def __repr__(self) -> str:
        counts = Counter(row["status"] for row in self._view.rows)
        states = ", ".join(
            f"{count} {status.replace('_', ' ')}" for status, count in counts.items()
        )
        pending = f", {self._view.pending} not run yet" if self._view.pending else ""
        return f"<Results of {self._revision.label} in {self.folder}: {states or 'empty'}{pending}>"

    def _repr_html_(self) -> str:
        """Return a small grid of images, which notebooks show."""
        return notebook.render(self._view)

    def _row(self, cell: Any) -> dict[str, Any]:
        rows = self._view.rows
        if isinstance(cell, str):
            found = [row for row in rows if cell and cell in (row["cell"], row["name"])]
            if not found:
                names = [str(row["name"]) for row in rows]
                raise UnknownNameError(
                    f"{quoted(cell)} is neither the id nor the name of a cell of "
                    f"{self._revision.label}. `cells` lists them.{nearest(cell, names)}"
                )
            return found[0]
        if hasattr(cell, "__index__"):
            if not -len(rows) <= cell < len(rows):
                raise UnknownNameError(f"There is no row {cell}: `cells` has {len(rows)} rows.")
            return rows[int(cell)]
        try:
            return self._row(str(cell["cell"] or cell["name"]))
        except (KeyError, TypeError, IndexError):
            raise UsageError(
                f"{quoted(cell)} is not a cell. Pass an id, a name, a row of `cells`, such as "
                "`cells.iloc[0]`, or the number of a row."
            ) from None


def load(name: str | os.PathLike[str], *, out: str | os.PathLike[str] | None = None) -> Results:
    """Return the stored results of a suite.

    Args:
        name: A folder of results, `runs/artists`, or the name of a suite in `out`; with a revision
            as for `nstbench report`: `artists~1` is the run before the latest one.
        out: The folder of all results; None is NSTBENCH_OUT, or else `runs`.

    Raises:
        RecordError: There are no results, or they cannot be read.
        UsageError: The suite has no such run.
    """
    expanded = None if out is None else filesystem.expanded(out)
    folder = settings.resolve({"out": expanded}).get("out", settings.DEFAULT_OUT)
    return Results(revisions.find(str(filesystem.expanded(name)), folder))
