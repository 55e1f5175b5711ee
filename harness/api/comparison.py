"""Effects and verdicts of stored results, as rows and as data frames; and the page about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from harness.analysis import claims
from harness.analysis.claims import ClaimDataset, ClaimRow
from harness.errors import UsageError
from harness.store import revisions
from harness.store.revisions import Revision
from reports import page


def claim_rows(found: Revision) -> list[ClaimRow]:
    """Return the verdicts on the claims of a suite.

    Raises:
        UsageError: The suite has no claims.
    """
    dataset = ClaimDataset.of(found.store)
    if not dataset.run.claims:
        raise UsageError(
            f"{found.name} has no claims. To compare its variants, run "
            f"`nstbench compare {found.name}`."
        )
    return claims.evaluate_claims(dataset.frame, dataset.run.claims, dataset.lenses)


def comparison_rows(
    found: Revision, *, by: str = "", metrics: Sequence[str] = (), baseline: str = ""
) -> list[ClaimRow]:
    """Return the effect of each variant, or of each level of a factor, against a baseline.

    Raises:
        UsageError: There is nothing to compare, or no such factor, metric or baseline.
    """
    dataset = ClaimDataset.of(found.store)
    selected = dataset.metrics(metrics)
    claims.check_comparable(dataset, selected, by=by)
    comparisons = claims.compared(dataset.frame, selected, by=by, baseline=baseline)
    return claims.evaluate_claims(dataset.frame, comparisons, dataset.lenses, exploratory=True)


def frame(rows: Sequence[ClaimRow]) -> pd.DataFrame:
    """Return rows as a data frame with one column per field."""
    names = [field.name for field in fields(ClaimRow)]
    made = pd.DataFrame([asdict(row) for row in rows], columns=names)
    numbers = [field.name for field in fields(ClaimRow) if field.type == "float | None"]
    return made.astype(dict.fromkeys(numbers, float))


def write_page(found: Mapping[str, Revision], out: Path, *, folder: bool = False) -> Path:
    """Render the page about results by label, and return its path.

    The page about the latest run of one suite is in the suite's folder; others are in `out`.
    """
    stores = {label: revision.store for label, revision in found.items()}
    if len(found) == 1 and all(revision.latest for revision in found.values()):
        return (page.write_folder if folder else page.write)(*stores.values())
    target = revisions.page_path(out, [*found], folder=folder)
    return (page.write_folder_about if folder else page.write_about)(stores, target)
