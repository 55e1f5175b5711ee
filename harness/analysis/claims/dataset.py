"""The stored results of a suite as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from harness.analysis import comparable_costs, table
from harness.analysis.comparable_costs import COSTS
from harness.errors import UsageError, nearest
from harness.records import Run
from harness.registry.quantities import known
from harness.store import Store


@dataclass(frozen=True)
class ClaimDataset:
    """One run of a suite, with one table row per cell."""

    run: Run
    frame: pd.DataFrame
    lenses: dict[str, str]  # the network that each score uses

    @classmethod
    def of(cls, store: Store) -> ClaimDataset:
        """Read the records that exist so far."""
        run = store.run()
        records = list(store.records(run))
        frame = table.frame(table.rows(records, run.skipped))
        return cls(run, frame, table.lenses(records))

    @property
    def command(self) -> str:
        """The command that runs the suite again."""
        own = self.run.command
        return own if own.startswith("nstbench run ") else f"nstbench run {self.run.suite}"

    def metrics(self, names: Sequence[str] = ()) -> list[str]:
        """Return the metrics to compare: `names`, or all scores of the suite that have values.

        Raises:
            UsageError: One of `names` has no values.
        """
        available = [name for name in self.frame if known(name) and self.frame[name].notna().any()]
        for name in names:
            if name not in available:
                why = comparable_costs.NOT_MEASURED if name in COSTS else "no such score or cost"
                what = f"--metric {name}: {why}. Available: {', '.join(available)}."
                raise UsageError(what + nearest(name, available))
        return list(names) or [name for name in self.run.metrics if name in available]
