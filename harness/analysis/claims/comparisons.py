"""Claims for a comparison: each variant, or each level of a factor, against a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from harness.analysis.claims.dataset import ClaimDataset
from harness.analysis.claims.pairing import PARAM, STYLE_SIZE, column, contenders, factor_levels
from harness.errors import UsageError, listed, nearest
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
        UsageError: There is no such factor or level.
    """
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


AXIS = "such as `gatys: {axes: {optimizer: [lbfgs, adam]}}`"
"""An example of a method with two variants, for messages."""


def check_comparable(
    dataset: ClaimDataset, metrics: Sequence[str], *, by: str = "", variance: bool = False
) -> None:
    """Check that the results of a suite have something to compare.

    Args:
        dataset: The results.
        metrics: The scores and costs to compare.
        by: The factor whose levels are compared; if empty, variants are.
        variance: Whether shares of variance are wanted, which need crossed variants.

    Raises:
        UsageError: They have not; the message states what is needed and the next command.
    """
    if problem := _problem(dataset, metrics, by=by, variance=variance):
        raise UsageError(problem)


def _problem(dataset: ClaimDataset, metrics: Sequence[str], *, by: str, variance: bool) -> str:
    suite, results = dataset.run.suite, dataset.frame
    again = f"run `{dataset.command}` again"
    ran = results[results["status"] != "skipped"] if len(results) else results
    if not len(ran):
        skipped = f": {len(results)} cells were skipped" if len(results) else ""
        return f"{suite} has no finished cells to compare{skipped}. Fix this, then {again}."
    cells = contenders(ran)
    names, anchors = cells["variant"].unique(), ran["variant"].unique()
    if not len(names):
        are = "is an anchor" if len(anchors) == 1 else "are anchors"
        return (
            f"{suite} has no variants to compare: {listed(anchors)} {are}, which only mark the "
            f"ends of the scales. Add a method with two variants to the suite, {AXIS}, and {again}."
        )
    if not metrics:
        failed = int((ran["status"] != "done").sum())
        return (
            f"{suite} has no scores to compare: {failed} of {len(ran)} cells failed, and no cell "
            f"has a value of {listed(dataset.run.metrics)}. `nstbench report {suite}` shows the "
            f"reasons. To compare costs, pass --metric stylize_seconds; otherwise, {again}."
        )
    counts = (cells["style"].nunique(), cells["content"].nunique(), len(names))
    if variance and min(counts) < 2:
        return (
            "--variance requires two styles, two contents and two variants that are not anchors; "
            f"{suite} has {counts[0]}, {counts[1]} and {counts[2]}. Add what is missing to the "
            f"suite (variants come from an axis, {AXIS}), and {again}."
        )
    if len(names) < 2 and not by and not variance:
        factors = [name for name in varied(cells) if column(name) != "variant"]
        other = f", or compare the levels of {' or '.join(factors)} with --by" if factors else ""
        return (
            f"{suite} has only one variant that is not an anchor, {names[0]}; a comparison "
            f"requires two. Add an axis to the suite, {AXIS}, and {again}{other}."
        )
    return ""


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
    if not (known := varied(results)):
        raise UsageError(
            f"--by {factor}: no method of the suite varies a parameter. Add an axis to the suite, "
            f"{AXIS}, and run it again."
        )
    if factor not in known:
        raise UsageError(f"--by {factor}: no method varies it. Choose from {', '.join(known)}."
                         f"{nearest(factor, known)}")  # fmt: skip
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
