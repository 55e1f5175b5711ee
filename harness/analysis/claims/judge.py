"""Claims -> one row each, with the verdict that the results allow and no other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
from harness.analysis.table import plain
from harness.records import RECIPES, Claim, Control, Direction, Sign
from harness.registry.quantities import Measure, measure

LOOSE = "styles and contents are not crossed: a mean over pairs, without an interval"

BUDGET_TOLERANCE = 0.02
"""Passes may differ by so much before a row says that the budgets were not the same."""


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One claim under one set of conditions, for one metric. Effects are second against first."""

    claim_id: str
    statement: str
    source: str
    factors: str  # "norm: batch -> instance"
    predicted_sign: Sign
    metric: str
    primary: bool  # decides; the others are told besides
    unit: str  # of the estimate: the metric's, or "x" for a ratio
    better: Direction
    smallest: float  # effect of interest, in the same unit
    verdict: str
    n_style: int = 0
    n_content: int = 0
    n_seed: int = 0
    n_pair: int = 0  # where styles and contents were not crossed: then there is no interval
    level_means: tuple[float, float] | None = None  # of the metric, at the first and second level
    estimate: float | None = None
    ci_lo: float | None = None
    ci_hi: float | None = None
    p: float | None = None
    p_adj: float | None = None  # Holm over the primary rows, Benjamini-Hochberg over the others
    permutation_p: float | None = None
    d_z: float | None = None
    p_better: float | None = None  # share of blocks with the predicted sign
    heterogeneity: float | None = None  # share of styles with the predicted sign
    new_style_lo: float | None = None
    new_style_hi: float | None = None
    detectable: float | None = None  # with 80 % power, in the unit of the estimate
    failed: tuple[int, int] = (0, 0)
    circular: bool = False  # judged through the network that was optimised
    control: Control = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = None  # passes of the encoder, or steps, where both levels had as many
    notes: tuple[str, ...] = ()

    @property
    def circumstances(self) -> dict[str, Any]:
        """All that the verdict holds under."""
        budget = {"budget": f"{self.budget:g} passes or steps"} if self.budget else {}
        return {**self.conditions, **budget}


@dataclass(frozen=True)
class _Tested:
    """A row to be, and the effect that its verdict comes from once all p values are known."""

    row: ClaimRow
    effect: Effect | None = None
    margin: float = 0.0  # `smallest` as the effect has it: a logarithm for ratios


def evaluate_claims(
    results: pd.DataFrame,
    claims: Iterable[Claim],
    lenses: Mapping[str, str],
    *,
    exploratory: bool = False,
) -> list[ClaimRow]:
    """Return the verdict on every claim, and its exploratory metrics after it.

    Args:
        results: As `harness.analysis.table.frame` makes them.
        claims: Of one study: their primary rows are corrected together.
        lenses: The network that each score looks through, by name.
        exploratory: Nobody claimed any of this: there are no primary rows.
    """
    results = narrowed(results)
    tested = [one for claim in claims for one in _tested(results, claim, lenses)]
    if exploratory:
        tested = [replace(one, row=replace(one.row, primary=False)) for one in tested]
    adjusted = _adjusted(tested)
    rows = [_decided(one, p) for one, p in zip(tested, adjusted, strict=True)]
    return _warned(rows)


def _tested(results: pd.DataFrame, claim: Claim, lenses: Mapping[str, str]) -> Iterator[_Tested]:
    found = list(paired(results, claim))
    for name in (claim.metric, *claim.also):
        what = measure(name)
        blank = _blank(claim, what)
        rows = [_measured(blank, claim, what, pairs, lenses.get(name, "")) for pairs in found]
        yield from filter(None, rows)
        if not any(rows):
            why, verdict = _why_none(results, claim, what)
            yield _Tested(replace(blank, verdict=verdict, notes=(why,)))


def _blank(claim: Claim, what: Measure) -> ClaimRow:
    primary = what.name == claim.metric
    return ClaimRow(
        claim_id=claim.id,
        statement=claim.statement,
        source=claim.source,
        factors=factors(claim),
        predicted_sign=claim.predicts,
        metric=what.name,
        primary=primary,
        unit="×" if what.effect == "ratio" else what.unit,
        better=what.better,
        smallest=(claim.smallest if primary and claim.smallest else what.smallest),
        verdict="not tested",
        control=claim.control,
    )


def factors(claim: Claim) -> str:
    """Write what differs, and what an interaction is across: `tv_weight: 0 -> 5, across ...`."""
    said = _step(claim.factor, claim.levels)
    across = [_step(name, levels) for name, levels in claim.across.items()]
    held = [f"{name} {plain(value)}" for name, value in claim.where.items()]
    said += f", across {', '.join(across)}" if across else ""
    return said + (f" (at {', '.join(held)})" if held else "")


def _step(factor: str, levels: tuple[Any, Any]) -> str:
    return f"{factor}: {plain(levels[0])} → {plain(levels[1])}"


def _measured(
    blank: ClaimRow, claim: Claim, what: Measure, pairs: Pairs, lens: str
) -> _Tested | None:
    """Return the row of a metric under one set of conditions; None where nobody has the metric."""
    found = differences(pairs.cells, what)
    if found.contrast.isna().all(axis=None):
        return None
    row = replace(
        blank,
        n_seed=found.seeds,
        failed=found.failed,
        conditions=pairs.conditions,
        budget=_budget(found),
        circular=lens in found.encoders,
        notes=tuple(_notes(claim, pairs, found)),
    )
    return _crossed(row, claim, what, found) or _loose(row, claim, what, found)


def _crossed(row: ClaimRow, claim: Claim, what: Measure, found: Differences) -> _Tested | None:
    """Judge whole styles by whole contents; None where the suite never meant to cross them."""
    whole, styles, contents = complete(found.contrast.to_numpy(dtype=float))
    if not found.crossed and min(whole.shape) < MIN_STYLES:
        return None
    dropped = [
        *(f"style {found.contrast.index[i]} dropped: cells are missing" for i in styles),
        *(f"content {found.contrast.columns[i]} dropped: cells are missing" for i in contents),
    ]
    row = replace(
        row, n_style=whole.shape[0], n_content=whole.shape[1], notes=(*dropped, *row.notes)
    )
    if not whole.size:
        return _Tested(replace(row, verdict="unavailable"))
    kept = [
        one.drop(index=one.index[styles], columns=one.columns[contents]).to_numpy(dtype=float)
        for one in found.of_levels
    ]
    return _effect(_with_means(row, what, found, kept), claim, what, whole)


def _loose(row: ClaimRow, claim: Claim, what: Measure, found: Differences) -> _Tested:
    """Describe pairs that a suite has picked: they have a mean, and say nothing of others."""
    there = found.contrast.notna().to_numpy()
    picked = found.contrast.to_numpy(dtype=float)[there][None]
    row = replace(row, n_pair=picked.size, notes=(LOOSE, *row.notes))
    levels = [one.to_numpy(dtype=float)[there] for one in found.of_levels]
    return _effect(_with_means(row, what, found, levels), claim, what, picked)


def _with_means(
    row: ClaimRow, what: Measure, found: Differences, levels: Sequence[NDArray[np.float64]]
) -> ClaimRow:
    """Add each level's mean over the blocks that are compared: a geometric one for ratios."""
    back = math.exp if what.effect == "ratio" else float
    first, second = (back(float(one.mean())) for one in levels)
    pays = _pays(what, (first, second), found.fits)
    return replace(row, level_means=(first, second), notes=(*row.notes, *pays))


def _effect(row: ClaimRow, claim: Claim, what: Measure, d: NDArray[np.float64]) -> _Tested:
    predicted = claim.predicts if row.primary else _direction(what, claim)
    ratio = what.effect == "ratio"
    seen = effect(d, predicted)
    row = _filled(replace(row, predicted_sign=predicted), seen, ratio=ratio)
    if not row.smallest > (1 if ratio else 0):
        why = f"{what.name} has no smallest effect of interest; a claim can give one"
        return _Tested(replace(row, verdict="unavailable", notes=(*row.notes, why)))
    return _Tested(row, seen, math.log(row.smallest) if ratio else row.smallest)


def _direction(what: Measure, claim: Claim) -> Sign:
    """Return what an exploratory row asks: as good a sign as the claim has of its own metric."""
    better = measure(claim.metric).better
    if claim.predicts == "none" or "neither" in (better, what.better):
        return claim.predicts
    improves = claim.predicts == better
    return "lower" if (what.better == "lower") is improves else "higher"


def _notes(claim: Claim, pairs: Pairs, found: Differences) -> Iterator[str]:
    if any(found.failed):
        first, second = found.failed
        yield f"{first} cells failed at {claim.levels[0]}, {second} at {claim.levels[1]}"
    if any(pairs.tuned):
        at = (f"{level} at {claim.tuned} {best}" for level, best in
              zip(claim.levels, pairs.tuned, strict=True))  # fmt: skip
        yield f"each at its best: {', '.join(at)}"
    one, other = sorted(found.passes)
    if other > one * (1 + BUDGET_TOLERANCE):
        yield f"unequal budgets: {found.passes[0]:g} and {found.passes[1]:g} passes"


def _budget(found: Differences) -> float | None:
    one, other = found.passes
    return one if one == other > 0 else None


def _pays(what: Measure, seconds: tuple[float, float], fits: tuple[float, float]) -> Iterator[str]:
    """Say from how many images on the quicker level is the cheaper one, training included."""
    if what.name != "stylize_seconds":
        return
    quick = 0 if seconds[0] < seconds[1] else 1
    gain, training = seconds[1 - quick] - seconds[quick], fits[quick] - fits[1 - quick]
    if training > gain > 0:
        yield f"the quicker one pays for its fit from {math.ceil(training / gain)} images on"


def _filled(row: ClaimRow, seen: Effect, *, ratio: bool) -> ClaimRow:
    def shown(value: float | None) -> float | None:
        return value if value is None or not ratio else math.exp(value)

    return replace(
        row,
        estimate=shown(seen.estimate),
        ci_lo=shown(seen.low),
        ci_hi=shown(seen.high),
        p=seen.p,
        permutation_p=seen.permutation_p,
        d_z=seen.d_z,
        p_better=seen.better,
        heterogeneity=seen.agreeing_styles,
        new_style_lo=shown(seen.new_style_low),
        new_style_hi=shown(seen.new_style_high),
        detectable=shown(seen.detectable),
    )


def _adjusted(tested: Sequence[_Tested]) -> list[float | None]:
    """Return each row's p, corrected within its family; controls are none of it."""
    found: list[float | None] = [one.row.p for one in tested]
    for primary, correct in ((True, holm), (False, benjamini_hochberg)):
        family = [
            i for i, one in enumerate(tested)
            if one.row.primary is primary and one.row.p is not None and not one.row.control
        ]  # fmt: skip
        corrected = correct([p for i in family if (p := found[i]) is not None])
        for i, p in zip(family, corrected, strict=True):
            found[i] = p
    return found


def _decided(one: _Tested, adjusted: float | None) -> ClaimRow:
    if one.effect is None:
        return one.row
    said = verdict(one.effect, one.row.predicted_sign, one.margin, adjusted)
    # The reader sees an interval clear of zero, and has to know why that is not enough.
    lost = said == "inconclusive" and one.effect.p is not None and one.effect.p < ALPHA
    notes = (*one.row.notes, *(["inconclusive once p is corrected"] if lost else []))
    return replace(one.row, p_adj=adjusted, verdict=said, notes=notes)


def failed_controls(rows: Iterable[ClaimRow]) -> list[str]:
    """Say which controls failed, if any: then no verdict is to be trusted."""
    rows = list(rows)
    return [
        *(f"the control {r.claim_id} found a difference where there is none"
          for r in rows
          if r.control == "null" and r.primary and r.verdict.startswith("contradicted")),
        *(f"the control {r.claim_id} missed the effect that was planted"
          for r in rows if r.control == "effect" and r.primary
          and not r.verdict.startswith(("supported", "illustration"))),
    ]  # fmt: skip


def _warned(rows: list[ClaimRow]) -> list[ClaimRow]:
    """Say on every row where a control failed."""
    why = failed_controls(rows)
    return [r if r.control else replace(r, notes=(*r.notes, *why)) for r in rows]


def _why_none(results: pd.DataFrame, claim: Claim, what: Measure) -> tuple[str, str]:
    """Say why there is nothing to compare, and the verdict that follows."""
    cells = chosen(results, claim)
    for side, level in enumerate(claim.levels):
        if "side0" not in cells or not (cells["side0"] == side).any():
            where = "the suite" if claim.factor in RECIPES else claim.method
            return f"no cell of {where} has {claim.factor} {level}", "not tested"
    if pairs(cells, claim).empty:
        return f"no two cells differ in {claim.factor} alone", "not tested"
    return f"no pair of cells has a score {what.name}", "unavailable"
