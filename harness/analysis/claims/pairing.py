"""Results -> paired differences: a style a row, a content a column, all else equal.

Two cells are a pair where they agree in everything but the factor: every other parameter, seed,
size, encoder, precision and device. So a difference has one cause, or there is none to be had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.table import plain
from harness.records import RECIPES, SAVED_IMAGE, Claim
from harness.registry.quantities import Measure
from harness.registry.quantities import measure as measure_of

CONDITIONS = ("size", "encoder", "precision", "device")
"""A verdict holds under these; results under others are never merged with it."""

ENCODERS_VARY = ("encoder", *RECIPES)

ASIDE = ("cell", "name", "method", "version", "pair", "reason", "image_sha256", "width", "height",
         "started", "fit", "noisy", "load", "peak_of", "repeats", "shared_by",
         "warm_up_seconds", "pass_ms_25", "pass_ms_75", "calibration_ms")  # fmt: skip

PLACE = ["style", "content", "key"]
PARAM = "param."


@dataclass(frozen=True)
class Pairs:
    """All cells of a claim that have partners, under one set of conditions."""

    conditions: Mapping[str, Any]
    cells: pd.DataFrame  # with a `key` that partners share, and the `side` of each
    tuned: tuple[str, str] = ("", "")  # at which value of the tuned parameter each level was taken


@dataclass(frozen=True)
class Differences:
    """What the two levels of a factor are to each block: styles x contents; NaN is missing.

    Averaged over seeds and other factors; logarithms, where the measure compares by ratio.
    """

    of_levels: tuple[pd.DataFrame, pd.DataFrame]
    contrast: pd.DataFrame  # second less first; for an interaction, the difference of differences
    crossed: bool  # every style was planned with every content
    seeds: int
    failed: tuple[int, int]  # cells of either level that came to nothing
    passes: tuple[float, float]  # medians: the budget of either level
    fits: tuple[float, float]  # median seconds of a fit at either level
    encoders: tuple[str, ...]  # whose losses were minimised


def paired(results: pd.DataFrame, claim: Claim) -> Iterator[Pairs]:
    """Yield the pairs of a claim, once for each set of conditions.

    Args:
        results: As `harness.analysis.table.frame` makes them.
        claim: What differs in what.
    """
    held = [name for name in CONDITIONS if name not in _varied(claim)]
    for under, cells in chosen(results, claim).groupby(held, sort=False):
        cells, tuned = _at_their_best(cells, claim)
        partners = pairs(cells, claim)
        if not partners.empty:
            yield Pairs(dict(zip(held, under, strict=True)), partners, tuned)


def chosen(results: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return the cells that a claim is about, sides coded 0 and 1 in columns `side0`, `side1`..."""
    if claim.factor not in RECIPES:
        results = results[results["label"] == claim.method]
    for name, value in claim.where.items():
        results = results[_is(results, name, value)]
    for index, (name, (one, other)) in enumerate(_factors(claim).items()):
        is_one, is_other = _is(results, name, one), _is(results, name, other)
        side = pd.Series(np.where(is_other, 1, 0), index=results.index)
        results = results.assign(**{f"side{index}": side})[is_one | is_other]
    return results


def pairs(cells: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return the cells that have a partner on every side; what they agree in is their `key`."""
    agreeing = cells.groupby(_agreeing(cells, claim), dropna=False, sort=False)
    keyed = cells.assign(key=agreeing.ngroup())
    sides = _sides(keyed)
    met = keyed[["key", *sides]].drop_duplicates().groupby("key").size()
    return keyed[keyed["key"].isin(met[met == 2 ** len(sides)].index)]


def narrowed(results: pd.DataFrame) -> pd.DataFrame:
    """Leave out columns that no comparison looks at: a narrow table is quick to cut."""
    return results.drop(columns=[*ASIDE], errors="ignore")


def contenders(results: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that compete: no anchors, nothing that was skipped."""
    return results[~results["anchor"].fillna(value=True).astype(bool)]


def values(cells: pd.DataFrame, measure: Measure) -> pd.Series:
    """Return what is compared; what failed, or has no logarithm, is NaN."""
    if measure.name not in cells:
        return pd.Series(np.nan, index=cells.index)
    found = cells[measure.name].astype(float).where(cells["status"] == "done")
    if measure.name == "objective":
        found = found.where(_of_one_kind(cells))
    if measure.effect == "difference":
        return found
    return pd.Series(np.log(found.where(found > 0)), index=cells.index)


def _of_one_kind(cells: pd.DataFrame) -> pd.Series:
    """Tell which objectives compare: those of saved images, or of raw pixels where all are."""
    if "objective_of" not in cells:
        return pd.Series(data=True, index=cells.index)
    saved = cells["objective_of"] == SAVED_IMAGE
    return saved | (not saved.any())


def column(factor: str) -> str:
    """Return the column of the results that holds a factor."""
    if factor == "method":
        return "label"
    return factor if factor in ("variant", "seed", *CONDITIONS) else PARAM + factor


def _factors(claim: Claim) -> dict[str, tuple[Any, Any]]:
    return {claim.factor: claim.levels, **claim.across}


def _agreeing(cells: pd.DataFrame, claim: Claim) -> list[str]:
    """Return the columns in which the cells of a pair have to agree."""
    varied = _varied(claim)
    own = [] if claim.factor in RECIPES else [c for c in cells if c.startswith(PARAM)]
    agreeing = [c for c in (*own, "seed", "encoder_sha256", *CONDITIONS) if c not in varied]
    varying = [c for c in agreeing if cells[c].nunique(dropna=False) > 1]
    return varying or agreeing[:1]


def _varied(claim: Claim) -> set[str]:
    """Return the columns in which the cells of a pair may differ."""
    varied = {column(name) for name in (*_factors(claim), claim.tuned) if name}
    return varied | ({"encoder", "encoder_sha256"} if claim.factor in ENCODERS_VARY else set())


def _sides(cells: pd.DataFrame) -> list[str]:
    return [name for name in cells if name.startswith("side")]


def _is(results: pd.DataFrame, factor: str, level: Any) -> pd.Series:
    """Tell where a factor has a level; 5, 5.0 and "5" are one."""
    where = column(factor)
    if where not in results:
        return pd.Series(data=False, index=results.index)
    number = _number(level)
    if number is not None:
        return pd.to_numeric(results[where], errors="coerce") == number
    return results[where] == plain(level)


def _number(level: Any) -> float | None:
    try:
        return None if isinstance(level, (bool, list)) else float(level)
    except (TypeError, ValueError):
        return None


def _at_their_best(cells: pd.DataFrame, claim: Claim) -> tuple[pd.DataFrame, tuple[str, str]]:
    """Keep each level at that value of the tuned parameter that serves it best on average.

    Best by the claim's own metric, whichever is looked at. It is chosen on the very cells that
    are compared, so a level with more values to choose from is flattered: give the predicted
    winner the fewer.
    """
    if not claim.tuned:
        return cells, ("", "")
    where, best, own = column(claim.tuned), ["", ""], measure_of(claim.metric)
    of_own = values(cells, own)
    for side in (0, 1):
        means = of_own[cells["side0"] == side].groupby(cells[where]).mean()
        if means.notna().any():
            best[side] = str(means.idxmax() if own.better == "higher" else means.idxmin())
    kept = cells[cells[where] == cells["side0"].map({0: best[0], 1: best[1]})]
    return kept, (best[0], best[1])


def differences(cells: pd.DataFrame, measure: Measure) -> Differences:
    """Return what partners differ by in a measure."""
    sides = _sides(cells)
    measured = cells.assign(value=values(cells, measure))
    sided = measured.groupby([*PLACE, *sides])["value"].first().unstack(sides)
    # The difference of two sides; of four, the difference of two differences.
    signs = reduce(np.outer, [np.array([-1, 1])] * len(sides)).ravel()
    first, second = (sided.T.groupby("side0").mean().T[level] for level in (0, 1))
    contrast = pd.Series(sided.to_numpy() @ signs, index=sided.index)
    return Differences(
        of_levels=(_blocks(first.where(contrast.notna())), _blocks(second.where(contrast.notna()))),
        contrast=_blocks(contrast),
        crossed=_crossed(cells),
        seeds=cells["seed"].nunique(),
        failed=_of_both(cells, "status", lambda of: int((of != "done").sum())),
        passes=_of_both(cells, "passes", lambda of: float(of.median())),
        fits=_of_both(cells, "fit_seconds", lambda of: float(of.median())),
        encoders=tuple(cells.loc[~cells["anchor"].astype(bool), "encoder"].unique()),
    )


def _crossed(cells: pd.DataFrame) -> bool:
    planned = len(cells[["style", "content"]].drop_duplicates())
    return bool(planned == cells["style"].nunique() * cells["content"].nunique())


def _blocks(found: pd.Series) -> pd.DataFrame:
    """Return styles x contents: the mean over keys, and NaN where a key is missing."""
    levels = [found.index.unique(name) for name in PLACE]
    whole = found.reindex(pd.MultiIndex.from_product(levels, names=PLACE))
    return whole.unstack("key").mean(axis=1, skipna=False).unstack()


def _of_both(cells: pd.DataFrame, name: str, count: Any) -> tuple[Any, Any]:
    found = cells.get(name, default=pd.Series(np.nan, index=cells.index))  # none where all failed
    return count(found[cells["side0"] == 0]), count(found[cells["side0"] == 1])
