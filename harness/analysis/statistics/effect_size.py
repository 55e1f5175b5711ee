"""The effect of one level compared with another, from the paired differences of all blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from harness.analysis.statistics.anova import Array, checked, shares
from harness.analysis.statistics.crossed_effects import FACTORS, Crossed, crossed
from harness.analysis.statistics.resampling import flip_p, share, share_interval
from harness.records import Sign

DIRECTIONS: Mapping[Sign, int] = MappingProxyType({"lower": -1, "higher": 1, "none": 1})


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A mean difference, second level minus first, in the units of the differences.

    Fields that generalise to other styles and contents are None with fewer than two of either.
    """

    styles: int
    contents: int
    estimate: float
    better: float  # share of blocks with the predicted sign (positive for "none"); zeros count half
    agreeing_styles: float  # the same for style means
    permutation_p: float  # a check of `p` without assuming normality, see `resampling.flip_p`
    better_low: float | None = None  # 95 %, two-way bootstrap; None below eight styles
    better_high: float | None = None
    low: float | None = None  # 95 %, crossed random effects
    high: float | None = None
    low90: float | None = None  # 90 %: within the margins, two one-sided tests at 5 % reject
    high90: float | None = None
    df: float | None = None  # Satterthwaite's
    standard_error: float | None = None
    p: float | None = None  # two-sided, of the crossed t: below 0.05 if [low, high] excludes 0
    d_z: float | None = None  # see `_standardised`
    styles_differ_p: float | None = None  # of the hypothesis that styles do not differ
    new_style_low: float | None = None  # 95 % prediction interval of the mean of one more style
    new_style_high: float | None = None
    detectable: float | None = None  # with 80 % power at 5 %, from the estimated components
    shares: Mapping[str, float] = field(default_factory=dict)  # of the variance of differences


def effect(d: Array, predicted: Sign) -> Effect:
    """Return the effect of differences (styles, contents), each averaged over its seeds.

    Raises:
        ValueError: `d` is not a matrix, or contains NaN (see `complete`).
    """
    table = checked(d, FACTORS)
    direction, (styles, contents) = DIRECTIONS[predicted], table.shape
    better_low, better_high = share_interval(table, direction) or (None, None)
    described = Effect(
        styles=styles,
        contents=contents,
        estimate=float(table.mean()),
        better=share(table, direction),
        better_low=better_low,
        better_high=better_high,
        agreeing_styles=share(table.mean(1), direction),
        permutation_p=flip_p(table),
    )
    return described if min(styles, contents) < 2 else _generalised(described, crossed(table))


def _generalised(described: Effect, mean: Crossed) -> Effect:
    (low, high), (low90, high90) = mean.interval(), mean.interval(0.90)
    new_low, new_high = mean.new_style()
    return replace(
        described,
        low=float(low),
        high=float(high),
        low90=float(low90),
        high90=float(high90),
        df=float(mean.df),
        standard_error=float(mean.standard_error),
        p=float(mean.p()),
        d_z=_standardised(described, float(mean.style_sd())),
        styles_differ_p=float(mean.styles_differ_p()),
        new_style_low=float(new_low),
        new_style_high=float(new_high),
        detectable=float(mean.detectable()),
        shares=shares(mean.squares),
    )


def _standardised(described: Effect, style_sd: float) -> float | None:
    """Return the mean over the standard deviation of style means, bias-corrected (Hedges 1981).

    None with two styles, for which the expectation is infinite, or if all style means are equal.
    More contents or seeds raise it, so it is comparable only between studies of one design.
    """
    df = described.styles - 1
    if df < 2 or style_sd == 0:
        return None
    return described.estimate / style_sd * (1 - 3 / (4 * df - 1))
