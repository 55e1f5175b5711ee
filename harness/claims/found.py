"""What is stored of a suite, as comparisons take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness import results
from harness.errors import UsageError, nearest
from harness.measures import known
from harness.records import Run
from harness.store import Store


@dataclass(frozen=True)
class Found:
    """The latest run of a suite, flat."""

    run: Run
    frame: pd.DataFrame
    lenses: dict[str, str]  # the network that each score looks through

    @classmethod
    def of(cls, store: Store) -> Found:
        """Read what there is by now."""
        run = store.run()
        records = list(store.records(run))
        frame = results.frame(results.rows(records, run.skipped))
        return cls(run, frame, results.lenses(records))

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
