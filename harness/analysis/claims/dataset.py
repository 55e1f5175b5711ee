"""What is stored of a suite, as comparisons take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness.analysis import table
from harness.errors import UsageError, nearest
from harness.records import Run
from harness.registry.quantities import known
from harness.store import Store


@dataclass(frozen=True)
class ClaimDataset:
    """The latest run of a suite, flat."""

    run: Run
    frame: pd.DataFrame
    lenses: dict[str, str]  # the network that each score looks through

    @classmethod
    def of(cls, store: Store) -> ClaimDataset:
        """Read what there is by now."""
        run = store.run()
        records = list(store.records(run))
        frame = table.frame(table.rows(records, run.skipped))
        return cls(run, frame, table.lenses(records))

    def metrics(self, wanted: Sequence[str] = ()) -> list[str]:
        """Return the columns to compare: those wanted, or all scores that there are.

        Raises:
            UsageError: One that is wanted is not there.
        """
        there = [name for name in self.frame if known(name) and self.frame[name].notna().any()]
        for name in wanted:
            if name not in there:
                what = f"--metric {name}: there is {', '.join(there)}."
                raise UsageError(what + nearest(name, there))
        return list(wanted) or [name for name in self.run.metrics if name in there]
