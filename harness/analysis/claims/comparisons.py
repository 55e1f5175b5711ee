"""Claims that nobody wrote down: every variant, or every level of a factor, against a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from harness.analysis.claims.pairing import PARAM, column, contenders
from harness.errors import UsageError, nearest
from harness.records import Claim
from harness.registry.quantities import measure


def compared(
    results: pd.DataFrame, metrics: Sequence[str], *, by: str = "", baseline: str = ""
) -> list[Claim]:
    """Return a claim for each change: that it makes each metric better.

    Args:
        results: As `harness.analysis.table.frame` makes them.
        metrics: What to look at.
        by: A factor, each level of which is compared with its baseline, all else equal; without
            one, variants are compared as they stand.
        baseline: A level, or a variant; the first there is unless given.

    Raises:
        UsageError: There is no such factor, no such level, or nothing to look at.
    """
    if not metrics:
        raise UsageError("There is no score yet that could be compared.")
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
        raise UsageError(f"--baseline {baseline}: {factor} is one of {', '.join(known)}."
                         f"{nearest(baseline, known)}")  # fmt: skip
    return claims


def varied(results: pd.DataFrame) -> list[str]:
    """Return the factors that some method varies."""
    names = [*(c.removeprefix(PARAM) for c in results if c.startswith(PARAM)), "encoder", "seed"]
    there = [column(name) for name in names if column(name) in results]
    several = (results.groupby("label")[there].nunique() > 1).any()
    return [name for name in names if several.get(column(name), default=False)]


def _of_factor(results: pd.DataFrame, factor: str) -> dict[str, list[str]]:
    """Return the labels that vary a factor, each with its levels."""
    if factor not in (known := varied(results)):
        raise UsageError(f"--by {factor}: what is varied is {', '.join(known) or 'nothing'}."
                         f"{nearest(factor, known)}")  # fmt: skip
    labels = results["label"].dropna().unique()
    found = {str(label): _levels(results, label, factor) for label in labels}
    return {label: levels for label, levels in found.items() if len(levels) > 1}


def _levels(results: pd.DataFrame, label: str, factor: str) -> list[str]:
    levels = results.loc[results["label"] == label, column(factor)].dropna()
    return [str(level) for level in levels.unique()]


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
