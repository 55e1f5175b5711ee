"""Evaluate claims: one row per claim, metric and set of conditions, with its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.analysis.claims.pairing import (
    Differences,
    Pairs,
    chosen,
    differences,
    narrowed,
    paired,
    pairs,
)
from harness.analysis.claims.rows import ClaimRow, describe_factors
from harness.analysis.comparable_costs import why_not_comparable
from harness.analysis.statistics import (
    ALPHA,
    MIN_STYLES,
    Effect,
    benjamini_hochberg,
    complete,
    effect,
    holm,
    verdict,
)
from harness.records import RECIPES, Claim, Sign
from harness.registry.quantities import Measure, measure

UNCROSSED = "styles and contents are not crossed: a mean over pairs, without an interval"

BUDGET_TOLERANCE = 0.02
"""Relative difference of passes above which a row notes unequal budgets."""


@dataclass(frozen=True)
class _Candidate:
    """A row without a verdict, and the effect that decides it once all p-values are known."""

    row: ClaimRow
    effect: Effect | None = None
    margin: float = 0.0  # `smallest` in the unit of the effect: a logarithm for ratios


def evaluate_claims(
    results: pd.DataFrame,
    claims: Iterable[Claim],
    lenses: Mapping[str, str],
    *,
    exploratory: bool = False,
) -> list[ClaimRow]:
    """Return the rows of every claim: its own metric first, then its secondary metrics.

    Args:
        results: As `harness.analysis.table.frame` makes them.
        claims: All claims of a study; their primary rows are corrected together.
        lenses: The network that each score uses, by the name of the score.
        exploratory: Treat all rows as secondary, since no claim was stated in advance.
    """
    results = narrowed(results)
    candidates = [one for claim in claims for one in _candidates(results, claim, lenses)]
    if exploratory:
        candidates = [replace(one, row=replace(one.row, primary=False)) for one in candidates]
    adjusted = _adjusted_p(candidates)
    rows = [_with_verdict(one, p) for one, p in zip(candidates, adjusted, strict=True)]
    return _with_control_notes(rows)


def _candidates(
    results: pd.DataFrame, claim: Claim, lenses: Mapping[str, str]
) -> Iterator[_Candidate]:
    sets = list(paired(results, claim))
    for name in (claim.metric, *claim.also):
        what = measure(name)
        blank = _blank_row(claim, what)
        rows = [_candidate(blank, claim, what, pairs, lenses.get(name, "")) for pairs in sets]
        yield from filter(None, rows)
        if not any(rows):
            reason, verdict = _reason_for_no_pairs(results, claim, what)
            yield _Candidate(replace(blank, verdict=verdict, notes=(reason,)))


def _blank_row(claim: Claim, what: Measure) -> ClaimRow:
    primary = what.name == claim.metric
    return ClaimRow(
        claim_id=claim.id,
        statement=claim.statement,
        source=claim.source,
        factors=describe_factors(claim),
        predicted_sign=claim.predicts,
        metric=what.name,
        primary=primary,
        unit="×" if what.effect == "ratio" else what.unit,
        better=what.better,
        smallest=(claim.smallest if primary and claim.smallest else what.smallest),
        verdict="not tested",
        control=claim.control,
    )


def _candidate(
    blank: ClaimRow, claim: Claim, what: Measure, pairs: Pairs, lens: str
) -> _Candidate | None:
    """Return the row of a metric under one set of conditions; None if no cell has the metric."""
    if why := why_not_comparable(pairs.levels, what.name):
        return _Candidate(
            replace(blank, conditions=pairs.conditions, verdict="unavailable", notes=(why,))
        )
    data = differences(pairs.cells, what)
    if data.contrast.isna().all(axis=None):
        return None
    row = replace(
        blank,
        n_seed=data.seeds,
        failed=data.failed,
        conditions=pairs.conditions,
        budget=_budget(data),
        circular=lens in data.encoders,
        notes=tuple(_notes(claim, pairs, data)),
    )
    return _crossed(row, claim, what, data) or _uncrossed(row, claim, what, data)


def _crossed(row: ClaimRow, claim: Claim, what: Measure, data: Differences) -> _Candidate | None:
    """Compare complete styles by contents; None if the suite does not cross them."""
    whole, styles, contents = complete(data.contrast.to_numpy(dtype=float))
    if not data.crossed and min(whole.shape) < MIN_STYLES:
        return None
    reason = "dropped: cells or scores are missing"
    dropped = [
        *(f"style {data.contrast.index[i]} {reason}" for i in styles),
        *(f"content {data.contrast.columns[i]} {reason}" for i in contents),
    ]
    row = replace(
        row, n_style=whole.shape[0], n_content=whole.shape[1], notes=(*dropped, *row.notes)
    )
    if not whole.size:
        return _Candidate(replace(row, verdict="unavailable"))
    kept = [
        one.drop(index=one.index[styles], columns=one.columns[contents]).to_numpy(dtype=float)
        for one in data.of_levels
    ]
    return _with_effect(_with_means(row, what, data, kept), claim, what, whole)


def _uncrossed(row: ClaimRow, claim: Claim, what: Measure, data: Differences) -> _Candidate:
    """Return the mean over pairs that were not crossed, which does not generalise to others."""
    there = data.contrast.notna().to_numpy()
    picked = data.contrast.to_numpy(dtype=float)[there][None]
    row = replace(row, n_pair=picked.size, notes=(UNCROSSED, *row.notes))
    levels = [one.to_numpy(dtype=float)[there] for one in data.of_levels]
    return _with_effect(_with_means(row, what, data, levels), claim, what, picked)


def _with_means(
    row: ClaimRow, what: Measure, data: Differences, levels: Sequence[NDArray[np.float64]]
) -> ClaimRow:
    """Add each level's mean over the compared blocks; it is a geometric mean for ratios."""
    back = math.exp if what.effect == "ratio" else float
    first, second = (back(float(one.mean())) for one in levels)
    break_even = _break_even(what, (first, second), data.fits)
    return replace(row, level_means=(first, second), notes=(*row.notes, *break_even))


def _with_effect(row: ClaimRow, claim: Claim, what: Measure, d: NDArray[np.float64]) -> _Candidate:
    predicted = claim.predicts if row.primary else _secondary_sign(what, claim)
    ratio = what.effect == "ratio"
    result = effect(d, predicted)
    row = _with_numbers(replace(row, predicted_sign=predicted), result, ratio=ratio)
    if not row.smallest > (1 if ratio else 0):
        note = f"{what.name} has no smallest effect of interest; set `smallest` in the claim"
        return _Candidate(replace(row, verdict="unavailable", notes=(*row.notes, note)))
    return _Candidate(row, result, math.log(row.smallest) if ratio else row.smallest)


def _secondary_sign(what: Measure, claim: Claim) -> Sign:
    """Return the sign of a secondary metric that is as good as the predicted one of the claim."""
    better = measure(claim.metric).better
    if claim.predicts == "none" or "neither" in (better, what.better):
        return claim.predicts
    improves = claim.predicts == better
    return "lower" if (what.better == "lower") is improves else "higher"


def _notes(claim: Claim, pairs: Pairs, data: Differences) -> Iterator[str]:
    if any(data.failed):
        first, second = data.failed
        yield f"{first} cells failed at {claim.levels[0]}, {second} at {claim.levels[1]}"
    if any(pairs.tuned):
        at = (f"{level} at {claim.tuned} {best}" for level, best in
              zip(claim.levels, pairs.tuned, strict=True))  # fmt: skip
        yield f"each at its best: {', '.join(at)}"
    one, other = sorted(data.passes)
    if other > one * (1 + BUDGET_TOLERANCE):
        yield f"unequal budgets: {data.passes[0]} and {data.passes[1]} passes"


def _budget(data: Differences) -> float | None:
    one, other = data.passes
    return one if one == other > 0 else None


def _break_even(
    what: Measure, seconds: tuple[float, float], fits: tuple[float, float]
) -> Iterator[str]:
    """Yield the number of images from which the faster level is cheaper, training included."""
    if what.name != "stylize_seconds":
        return
    faster = 0 if seconds[0] < seconds[1] else 1
    gain, training = seconds[1 - faster] - seconds[faster], fits[faster] - fits[1 - faster]
    if training > gain > 0:
        yield f"the faster one compensates its fit from {math.ceil(training / gain)} images on"


def _with_numbers(row: ClaimRow, result: Effect, *, ratio: bool) -> ClaimRow:
    def in_unit(value: float | None) -> float | None:
        return value if value is None or not ratio else math.exp(value)

    return replace(
        row,
        estimate=in_unit(result.estimate),
        ci_lo=in_unit(result.low),
        ci_hi=in_unit(result.high),
        p=result.p,
        permutation_p=result.permutation_p,
        d_z=result.d_z,
        p_better=result.better,
        heterogeneity=result.agreeing_styles,
        new_style_lo=in_unit(result.new_style_low),
        new_style_hi=in_unit(result.new_style_high),
        detectable=in_unit(result.detectable),
    )


def _adjusted_p(candidates: Sequence[_Candidate]) -> list[float | None]:
    """Return each row's p, corrected within its family; controls belong to none."""
    adjusted: list[float | None] = [one.row.p for one in candidates]
    for primary, correct in ((True, holm), (False, benjamini_hochberg)):
        family = [
            i for i, one in enumerate(candidates)
            if one.row.primary is primary and one.row.p is not None and not one.row.control
        ]  # fmt: skip
        corrected = correct([p for i in family if (p := adjusted[i]) is not None])
        for i, p in zip(family, corrected, strict=True):
            adjusted[i] = p
    return adjusted


def _with_verdict(one: _Candidate, adjusted: float | None) -> ClaimRow:
    if one.effect is None:
        return one.row
    decided = verdict(one.effect, one.row.predicted_sign, one.margin, adjusted)
    # The interval excludes zero, so the row has to say why that is not enough.
    lost = decided == "inconclusive" and one.effect.p is not None and one.effect.p < ALPHA
    notes = (*one.row.notes, *(["inconclusive after correction of p"] if lost else []))
    return replace(one.row, p_adj=adjusted, verdict=decided, notes=notes)


def failed_controls(rows: Iterable[ClaimRow]) -> list[str]:
    """Return a message for each control that failed; then no verdict is reliable."""
    rows = list(rows)
    return [
        *(f"the control {r.claim_id} found a difference where there is none"
          for r in rows
          if r.control == "null" and r.primary and r.verdict.startswith("contradicted")),
        *(f"the control {r.claim_id} missed the known effect"
          for r in rows if r.control == "effect" and r.primary
          and not r.verdict.startswith(("supported", "illustration"))),
    ]  # fmt: skip


def _with_control_notes(rows: list[ClaimRow]) -> list[ClaimRow]:
    """Add a note to every row for each control that failed."""
    failures = failed_controls(rows)
    return [r if r.control else replace(r, notes=(*r.notes, *failures)) for r in rows]


def _reason_for_no_pairs(results: pd.DataFrame, claim: Claim, what: Measure) -> tuple[str, str]:
    """Return why there are no pairs to compare, and the verdict."""
    cells = chosen(results, claim)
    for side, level in enumerate(claim.levels):
        if "side0" not in cells or not (cells["side0"] == side).any():
            where = "the suite" if claim.factor in RECIPES else claim.method
            return f"no cell of {where} has {claim.factor} {level}", "not tested"
    if pairs(cells, claim).empty:
        return f"no two cells differ in {claim.factor} alone", "not tested"
    return f"no pair of cells has a score {what.name}", "unavailable"
