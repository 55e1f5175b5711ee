"""Claims for a comparison: each variant, or each level of a factor, against a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from harness.analysis.claims.pairing import PARAM, STYLE_SIZE, column, contenders, factor_levels
from harness.errors import UsageError, nearest
from harness.records import Claim
from harness.registry.quantities import measure


def compared(
    results: pd.DataFrame, metrics: Sequence[str], *, by: str = "", baseline: str = ""
) -> list[Claim]:
    """Return a claim per level and metric: that the level improves the metric.

    Args:
        results: As `harness.analysis.table.frame` makes them.
        metrics: The metrics to compare.
        by: A factor whose levels are compared, all else equal; if empty, whole variants are
            compared.
        baseline: A level or a variant; the first one if empty.

    Raises:
        UsageError: There is no such factor or level, or there are no metrics.
    """
    if not metrics:
        raise UsageError("There are no scores to compare yet.")
    groups = _of_factor(results, by) if by else {"": list(contenders(results)["variant"].unique())}
    factor = by or "variant"
    claims = [
        claim
        for label, levels in groups.items()
        if baseline in ("", *levels)
        for claim in _claims(factor, label, levels, baseline, metrics)
    ]
    if not claims:
        known = [level for levels in groups.values() for level in levels]
        raise UsageError(f"--baseline {baseline}: not a {factor}. Choose from {', '.join(known)}."
                         f"{nearest(baseline, known)}")  # fmt: skip
    return claims


def varied(results: pd.DataFrame) -> list[str]:
    """Return the factors that at least one method varies."""
    names = [c.removeprefix(PARAM) for c in results if c.startswith(PARAM) or c == STYLE_SIZE]
    names += ["encoder", "seed"]
    if STYLE_SIZE in results:  # 0 is the content's size
        results = results.assign(**{STYLE_SIZE: results[STYLE_SIZE].fillna(0)})
    columns = [column(name) for name in names if column(name) in results]
    is_varied = (results.groupby("label")[columns].nunique() > 1).any()
    return [name for name in names if is_varied.get(column(name), default=False)]


def _of_factor(results: pd.DataFrame, factor: str) -> dict[str, list[str]]:
    """Return the levels of a factor, by the label of each method that varies it."""
    if factor not in (known := varied(results)):
        raise UsageError(f"--by {factor}: no method varies it. Choose from "
                         f"{', '.join(known) or 'nothing'}.{nearest(factor, known)}")  # fmt: skip
    labels = results["label"].dropna().unique()
    levels_of = {str(label): _levels(results, label, factor) for label in labels}
    return {label: levels for label, levels in levels_of.items() if len(levels) > 1}


def _levels(results: pd.DataFrame, label: str, factor: str) -> list[str]:
    found = factor_levels(results[results["label"] == label], factor)
    if found is None:
        return []
    kept = found.dropna()
    if factor == STYLE_SIZE:
        kept = kept.astype(int)
    return [str(level) for level in kept.unique()]


def _claims(
    factor: str, label: str, levels: Sequence[str], baseline: str, metrics: Sequence[str]
) -> Iterator[Claim]:
    first = baseline or levels[0]
    for metric in metrics:
        better = measure(metric).better
        for level in levels:
            if level != first:
                yield Claim(
                    id=f"{factor}={level}",
                    statement=f"{level} is better than {first}",
                    factor=factor,
                    levels=(first, level),
                    metric=metric,
                    predicts="none" if better == "neither" else better,
                    method=label,
                )
