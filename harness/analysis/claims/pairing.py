"""Paired differences of results, styles by contents, all else equal.

Two cells are a pair if they differ in the factor only, and agree in every other parameter, seed,
size, encoder, precision and device. So each difference has one cause.
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
"""A verdict is limited to these; results under different conditions are never merged."""

STYLE_SIZE = "style_size"
"""A setting of the method, although not a parameter; missing where it is the content's size."""

ENCODERS_VARY = ("encoder", *RECIPES)

UNUSED_COLUMNS = ("cell", "name", "method", "version", "pair", "reason", "image_sha256", "width",
                  "height", "started", "fit", "noisy", "load", "repeats",
                  "shared_by", "warm_up_seconds", "pass_ms_25", "pass_ms_75",
                  "calibration_ms")  # fmt: skip

PLACE = ["style", "content", "key"]
PARAM = "param."


@dataclass(frozen=True)
class Pairs:
    """The cells of a claim that have partners, under one set of conditions."""

    conditions: Mapping[str, Any]
    cells: pd.DataFrame  # `key` is shared by partners, `side0`, ... are their levels
    tuned: tuple[str, str] = ("", "")  # value of the tuned parameter used for each level

    @property
    def levels(self) -> list[pd.DataFrame]:
        """The cells at each level, or at each combination of levels of an interaction."""
        return [cells for _, cells in self.cells.groupby(_sides(self.cells))]


@dataclass(frozen=True)
class Differences:
    """Values and differences of two levels per block, styles x contents; NaN is missing.

    Averaged over seeds and other factors; logarithms if the measure compares by ratio.
    """

    of_levels: tuple[pd.DataFrame, pd.DataFrame]
    contrast: pd.DataFrame  # second minus first; the difference of differences for an interaction
    crossed: bool  # whether every style was planned with every content
    seeds: int
    failed: tuple[int, int]  # failed cells of each level
    passes: tuple[float, float]  # median of each level: its budget
    fits: tuple[float, float]  # median seconds of a fit at each level
    encoders: tuple[str, ...]  # their losses were minimised


def paired(results: pd.DataFrame, claim: Claim) -> Iterator[Pairs]:
    """Yield the pairs of a claim for each set of conditions.

    Args:
        results: As `harness.analysis.table.frame` makes them.
        claim: The claim.
    """
    held = [name for name in CONDITIONS if name not in _varying_columns(claim)]
    for under, cells in chosen(results, claim).groupby(held, sort=False):
        cells, tuned = _at_best_value(cells, claim)
        partners = pairs(cells, claim)
        if not partners.empty:
            yield Pairs(dict(zip(held, under, strict=True)), partners, tuned)


def chosen(results: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return the cells of a claim, with levels as 0 and 1 in columns `side0`, `side1`, ..."""
    if claim.factor not in RECIPES:
        results = results[results["label"] == claim.method]
    for name, value in claim.where.items():
        results = results[_has_level(results, name, value)]
    for index, (name, (one, other)) in enumerate(_factors(claim).items()):
        is_one, is_other = _has_level(results, name, one), _has_level(results, name, other)
        side = pd.Series(np.where(is_other, 1, 0), index=results.index)
        results = results.assign(**{f"side{index}": side})[is_one | is_other]
    return results


def pairs(cells: pd.DataFrame, claim: Claim) -> pd.DataFrame:
    """Return the cells that have a partner on every side, with a `key` that partners share."""
    agreeing = cells.groupby(_agreeing_columns(cells, claim), dropna=False, sort=False)
    keyed = cells.assign(key=agreeing.ngroup())
    sides = _sides(keyed)
    met = keyed[["key", *sides]].drop_duplicates().groupby("key").size()
    return keyed[keyed["key"].isin(met[met == 2 ** len(sides)].index)]


def narrowed(results: pd.DataFrame) -> pd.DataFrame:
    """Drop columns that no comparison uses, since selecting from a narrow table is faster."""
    return results.drop(columns=[*UNUSED_COLUMNS], errors="ignore")


def contenders(results: pd.DataFrame) -> pd.DataFrame:
    """Return the cells that are neither anchors nor skipped."""
    return results[~results["anchor"].fillna(value=True).astype(bool)]


def values(cells: pd.DataFrame, measure: Measure) -> pd.Series:
    """Return the compared values; NaN for failed cells and for values without a logarithm."""
    if measure.name not in cells:
        return pd.Series(np.nan, index=cells.index)
    found = cells[measure.name].astype(float).where(cells["status"] == "done")
    if measure.name == "objective":
        found = found.where(_of_one_kind(cells))
    if measure.effect == "difference":
        return found
    return pd.Series(np.log(found.where(found > 0)), index=cells.index)


def _of_one_kind(cells: pd.DataFrame) -> pd.Series:
    """Return which objectives are comparable: those of saved images, or all if there are none."""
    if "objective_of" not in cells:
        return pd.Series(data=True, index=cells.index)
    saved = cells["objective_of"] == SAVED_IMAGE
    return saved | (not saved.any())


def column(factor: str) -> str:
    """Return the column of the results that holds a factor."""
    if factor == "method":
        return "label"
    return factor if factor in ("variant", "seed", STYLE_SIZE, *CONDITIONS) else PARAM + factor


def factor_levels(results: pd.DataFrame, factor: str) -> pd.Series | None:
    """Return the level of a factor in each cell; None if the results do not have the factor."""
    if factor == STYLE_SIZE and "size" in results:
        own = results.get(STYLE_SIZE, default=pd.Series(np.nan, index=results.index))
        return own.fillna(results["size"])
    return results.get(column(factor))


def _factors(claim: Claim) -> dict[str, tuple[Any, Any]]:
    return {claim.factor: claim.levels, **claim.across}


def _agreeing_columns(cells: pd.DataFrame, claim: Claim) -> list[str]:
    """Return the columns in which the cells of a pair must agree."""
    varied = _varying_columns(claim)
    own = [c for c in cells if c.startswith(PARAM) or c == STYLE_SIZE]
    own = [] if claim.factor in RECIPES else own
    agreeing = [c for c in (*own, "seed", "encoder_sha256", *CONDITIONS) if c not in varied]
    varying = [c for c in agreeing if cells[c].nunique(dropna=False) > 1]
    return varying or agreeing[:1]


def _varying_columns(claim: Claim) -> set[str]:
    """Return the columns in which the cells of a pair may differ."""
    varied = {column(name) for name in (*_factors(claim), claim.tuned) if name}
    return varied | ({"encoder", "encoder_sha256"} if claim.factor in ENCODERS_VARY else set())


def _sides(cells: pd.DataFrame) -> list[str]:
    return [name for name in cells if name.startswith("side")]


def _has_level(results: pd.DataFrame, factor: str, level: Any) -> pd.Series:
    """Return where a factor has a level; 5, 5.0 and "5" are equal."""
    found = factor_levels(results, factor)
    if found is None:
        return pd.Series(data=False, index=results.index)
    number = _number(level)
    if number is not None:
        return pd.to_numeric(found, errors="coerce").astype(float) == number
    if factor == STYLE_SIZE and level is None:
        return (found == results["size"]).fillna(value=False)
    return found == plain(level)


def _number(level: Any) -> float | None:
    try:
        return None if isinstance(level, (bool, list)) else float(level)
    except (TypeError, ValueError):
        return None


def _at_best_value(cells: pd.DataFrame, claim: Claim) -> tuple[pd.DataFrame, tuple[str, str]]:
    """Keep each level at its best value of the tuned parameter, on average over cells.

    The claim's own metric decides, also for secondary metrics. The value is chosen on the compared
    cells, which favours a level with more values: give the predicted winner fewer.
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
    """Return the differences of partners in a measure."""
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
        failed=_per_level(cells, "status", lambda of: int((of != "done").sum())),
        passes=_per_level(cells, "passes", _median),
        fits=_per_level(cells, "fit_seconds", _median),
        encoders=tuple(cells.loc[_minimises(cells), "encoder"].unique()),
    )


def _minimises(cells: pd.DataFrame) -> pd.Series:
    """Return where a method minimises a loss of the encoder."""
    uses = cells.get("uses_encoder", default=pd.Series(data=True, index=cells.index))
    return ~cells["anchor"].astype(bool) & uses.astype(bool)


def _crossed(cells: pd.DataFrame) -> bool:
    planned = len(cells[["style", "content"]].drop_duplicates())
    return bool(planned == cells["style"].nunique() * cells["content"].nunique())


def _blocks(found: pd.Series) -> pd.DataFrame:
    """Return styles x contents: the mean over keys, NaN if a key is missing."""
    levels = [found.index.unique(name) for name in PLACE]
    whole = found.reindex(pd.MultiIndex.from_product(levels, names=PLACE))
    return whole.unstack("key").mean(axis=1, skipna=False).unstack()


def _median(values: pd.Series) -> float:
    """Return the median; NaN if all values are missing, and an integer if it is one."""
    median = float(values.astype(float).median())
    return int(median) if median.is_integer() else median


def _per_level(cells: pd.DataFrame, name: str, count: Any) -> tuple[Any, Any]:
    found = cells.get(
        name, default=pd.Series(np.nan, index=cells.index)
    )  # missing if all cells failed
    return count(found[cells["side0"] == 0]), count(found[cells["side0"] == 1])
