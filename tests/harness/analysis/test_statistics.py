"""Effects, the coverage of their intervals, and verdicts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.analysis import statistics
from harness.analysis.statistics import Effect, complete, effect, verdict
from harness.analysis.statistics.crossed_effects import crossed
from harness.analysis.statistics.resampling import flip_p, share_interval
from harness.records import Sign

Array = NDArray[np.float64]

TABLE = np.array([[1.0, 2.0], [3.0, 6.0]])
"""Mean 3; style means 1.5 and 4.5; content means 2 and 4; the residuals are 0.5, -0.5, -0.5, 0.5.

MS_S  = 2 contents x (1.5^2 + 1.5^2) / 1 = 9
MS_C  = 2 styles x (1^2 + 1^2) / 1 = 4
MS_SC = 4 x 0.5^2 / 1 = 1
"""


def simulate(
    count: int, shape: tuple[int, int], style: float, content: float, rest: float, seed: int = 0
) -> Array:
    """Return tables (count, styles, contents) of mean zero with these variances."""
    (styles, contents), normal = shape, np.random.default_rng(seed).standard_normal
    drawn = style**0.5 * normal((count, styles, 1)) + content**0.5 * normal((count, 1, contents))
    tables: Array = drawn + rest**0.5 * normal((count, styles, contents))
    return tables


def sample(styles: int = 8, contents: int = 8, mean: float = 0.0) -> Array:
    table: Array = simulate(1, (styles, contents), 0.5, 0.15, 0.35)[0] + mean
    return table


# Known answers


def test_the_variance_of_the_mean_is_the_sum_of_its_components() -> None:
    found = effect(TABLE, "higher")
    # (MS_S + MS_C - MS_SC) / 4 = 12 / 4 = 3; df = 12^2 / (9^2 / 1 + 4^2 / 1 + 1^2 / 1) = 144 / 98
    assert found.estimate == 3
    assert found.standard_error == pytest.approx(3**0.5)
    assert found.df == pytest.approx(144 / 98)
    half = stats.t.ppf(0.975, 144 / 98) * 3**0.5
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))
    # style (9 - 1) / 2 = 4, content (4 - 1) / 2 = 1.5, the rest 1: 6.5 together
    planted = {"style": 4 / 6.5, "content": 1.5 / 6.5, "residual": 1 / 6.5}
    assert found.shares == pytest.approx(planted)


def test_additive_effects_of_style_and_content_have_no_residual() -> None:
    table = np.array([[0.0], [3.0], [6.0]]) + np.array([[-1.0, 0.0, 1.0]])
    found = effect(table, "higher")
    # MS_S = 3 x (9 + 0 + 9) / 2 = 27, MS_C = 3 x (1 + 0 + 1) / 2 = 3, MS_SC = 0
    # variance 30 / 9; df = 30^2 / (27^2 / 2 + 3^2 / 2) = 900 / 369
    assert found.standard_error == pytest.approx((30 / 9) ** 0.5)
    assert found.df == pytest.approx(900 / 369)
    assert found.shares["residual"] == 0


def test_a_component_below_zero_is_zero() -> None:
    # Style means 0 and 4, content means 2 and 2, the rest 1, -1, -1, 1:
    # MS_S = 2 x (4 + 4) = 16, MS_C = 0, MS_SC = 4. Content would be (0 - 4) / 2.
    found = effect(np.array([[1.0, -1.0], [3.0, 5.0]]), "higher")
    assert found.shares["content"] == 0
    assert found.standard_error == pytest.approx((16 / 4) ** 0.5)
    assert found.df == 1  # those of style alone


def test_noise_that_cancels_in_row_and_column_means_still_widens_the_interval() -> None:
    # MS_S = MS_C = 0 and MS_SC = 4: the larger of MS_S and MS_C would be an interval [0, 0].
    found = effect(np.array([[1.0, -1.0], [-1.0, 1.0]]), "higher")
    assert found.standard_error == pytest.approx((4 / 4) ** 0.5)


def test_copies_of_a_content_give_the_t_test_over_styles() -> None:
    means = np.array([0.3, -0.1, 0.8, 0.5, 0.2])
    found = effect(np.repeat(means[:, None], 40, axis=1), "higher")
    expected = stats.ttest_1samp(means, 0)
    assert found.df == 4
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    narrow = stats.ttest_1samp(means, 0).confidence_interval(0.90)
    assert (found.low90, found.high90) == pytest.approx(tuple(narrow))


def test_the_standardised_effect_uses_style_means_and_is_corrected_for_their_number() -> None:
    # Means 1, 2, 3: mean 2 over sd 1, times 1 - 3 / (4 x 2 - 1) = 4 / 7
    assert effect(np.array([[0, 2], [1, 3], [2.0, 4]]), "higher").d_z == pytest.approx(8 / 7)
    assert effect(TABLE, "higher").d_z is None  # two styles: 1 - 3 / (4 x 1 - 1) = 0


def test_the_prediction_interval_of_a_new_style_by_hand() -> None:
    found = effect(TABLE, "higher")
    # Style means 1.5 and 4.5 have sd 3 / sqrt(2); t of one degree of freedom is 12.706
    half = 12.7062 * 3 / 2**0.5 * (1 + 1 / 2) ** 0.5
    assert (found.new_style_low, found.new_style_high) == pytest.approx((3 - half, 3 + half))
    assert found.styles_differ_p == pytest.approx(stats.f.sf(9 / 1, 1, 1))


def test_shares_count_blocks_and_styles_with_the_predicted_sign_and_half_of_the_ties() -> None:
    table = np.array([[-1.0, -2.0, 3.0], [-1.0, 0.0, 1.0]])  # means 0 and 0
    found = effect(table, "lower")
    assert found.better == (3 + 0.5) / 6
    assert found.agreeing_styles == (0.5 + 0.5) / 2
    assert effect(table, "higher").better == (2 + 0.5) / 6
    assert effect(table, "none").better == effect(table, "higher").better


# Resampling


@pytest.mark.parametrize("styles", [6, 9])
def test_flipped_signs_agree_with_scipy(styles: int) -> None:
    means = sample(styles, 12, mean=0.4).mean(1)
    exact = stats.permutation_test((means,), np.mean, permutation_type="samples")
    table = np.repeat(means[:, None], 10, axis=1)  # flipping contents: 2 / 2^10, never the larger
    assert flip_p(table) == pytest.approx(exact.pvalue)


def test_five_styles_cannot_reach_five_per_cent_and_six_can() -> None:
    assert flip_p(np.ones((5, 9))) == 2 / 2**5  # 0.0625: all signs as observed, or all flipped
    assert flip_p(np.ones((6, 9))) == 2 / 2**6  # 0.031


def test_many_signs_are_sampled_with_the_observed_ones_among_them() -> None:
    assert flip_p(np.ones((20, 20))) == pytest.approx(1 / 2**14, abs=2e-4)  # never zero
    assert flip_p(np.ones((20, 20))) > 0


def test_varying_contents_are_not_treated_as_fixed() -> None:
    tables = simulate(400, (12, 10), style=0.0, content=0.5, rest=0.5)
    # Signs of styles alone would reject 56 % of true zeros, since all style means share the error
    # of the contents' mean. The sd of a share of 5 % is sqrt(0.05 x 0.95 / 400) = 0.011.
    assert np.mean([flip_p(table) <= 0.05 for table in tables]) < 0.10


def test_no_interval_of_a_share_below_eight_styles() -> None:
    assert effect(sample(7, 20), "higher").better_low is None
    assert effect(sample(8, 6), "higher").better_low is not None


def test_a_share_has_an_interval_even_if_all_blocks_agree() -> None:
    found = effect(np.ones((10, 8)), "higher")
    # Eight independent blocks all agree with probability 0.6306^8 = 0.025
    assert (found.better_low, found.better_high) == pytest.approx((0.6306, 1), abs=1e-4)
    against = effect(np.ones((10, 8)), "lower")
    assert (against.better_low, against.better_high) == pytest.approx((0, 0.3694), abs=1e-4)


@pytest.mark.parametrize("mean", [0.0, 1.0, 2.0])
def test_the_interval_of_a_share_covers_it(mean: float) -> None:
    truth, tables = stats.norm.cdf(mean), simulate(400, (12, 10), 0.5, 0.15, 0.35) + mean
    limits = [share_interval(table, 1) or (1, 0) for table in tables]
    # At mean 2 all blocks often agree, and draws of them alone hold in 78 %. The sd of the share
    # is sqrt(0.95 x 0.05 / 400) = 0.011.
    assert np.mean([low <= truth <= high for low, high in limits]) > 0.90


# Properties


def test_effects_scale_with_their_unit() -> None:
    table = sample(mean=0.3)
    plain, scaled = effect(table, "higher"), effect(1000 * table, "higher")
    for name in ("low", "high90", "standard_error", "new_style_low", "detectable"):
        assert getattr(scaled, name) == pytest.approx(1000 * getattr(plain, name))
    for name in ("df", "p", "permutation_p", "d_z", "better", "better_low", "styles_differ_p"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name))


def test_a_shift_moves_the_interval_and_nothing_else() -> None:
    plain, moved = effect(sample(), "higher"), effect(sample() + 7, "higher")
    for name in ("estimate", "low", "high", "low90", "new_style_high"):
        assert getattr(moved, name) == pytest.approx(7 + getattr(plain, name))
    for name in ("df", "standard_error", "detectable", "styles_differ_p"):
        assert getattr(moved, name) == pytest.approx(getattr(plain, name))


def test_the_order_of_blocks_and_levels_does_not_matter() -> None:
    table, random = sample(mean=0.3), np.random.default_rng(1)
    plain = effect(table, "higher")
    mixed = effect(table[random.permutation(8)][:, random.permutation(8)], "higher")
    swapped = effect(-table, "lower")
    for name in ("df", "standard_error", "p", "permutation_p", "better", "agreeing_styles"):
        assert getattr(mixed, name) == pytest.approx(getattr(plain, name))
        assert getattr(swapped, name) == pytest.approx(getattr(plain, name))
    assert (swapped.low, swapped.high) == pytest.approx((-(plain.high or 0), -(plain.low or 0)))


# Degenerate tables


def test_a_deterministic_level_against_itself_is_equivalent_with_certainty() -> None:
    found = effect(np.zeros((8, 8)), "lower")
    assert (found.low, found.high, found.p, found.permutation_p) == (0, 0, 1, 1)
    assert (found.better, found.better_low, found.better_high) == (0.5, 0.5, 0.5)
    assert (found.d_z, found.styles_differ_p, found.detectable) == (None, 1, 0)
    assert verdict(found, "lower", 1e-9) == "equivalent"


def test_rounding_errors_do_not_count_as_variance() -> None:
    found = effect(np.full((9, 7), 0.3) - 0.2 + np.linspace(0, 1e-16, 63).reshape(9, 7), "higher")
    assert (found.standard_error, found.d_z, found.p) == (0, None, 0)
    assert sum(found.shares.values()) == 0
    assert verdict(found, "higher", 0.02) == "supported"


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_one_style_or_one_content_has_no_interval(shape: tuple[int, int]) -> None:
    found = effect(np.full(shape, 2.0), "higher")
    assert (found.estimate, found.better) == (2, 1)
    assert found.low is found.p is found.d_z is found.new_style_low is found.detectable is None
    assert verdict(found, "higher", 1.0) == "illustration"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_missing_value_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="1 of 4 cells"):
        effect(np.array([[1.0, bad], [2.0, 3.0]]), "higher")


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 3, 4)])
def test_only_matrices_are_accepted(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="style x content"):
        effect(np.zeros(shape), "higher")


def test_missing_cells_drop_whole_styles_or_contents() -> None:
    table = np.arange(20.0).reshape(4, 5)
    table[1, :3] = table[3, 4] = np.nan
    # Style 1 lacks 3 of 5; then content 4 lacks 1 of 3, which is more than 1 of 5 of style 3.
    rest, styles, contents = complete(table)
    assert (styles, contents) == ([1], [4])
    np.testing.assert_array_equal(rest, [[0, 1, 2, 3], [10, 11, 12, 13], [15, 16, 17, 18]])


def test_a_content_is_dropped_before_a_style_if_shares_are_equal() -> None:
    table = np.zeros((6, 6))
    table[2, 3] = np.nan
    assert complete(table)[1:] == ([], [3])


def test_an_empty_table_stays_empty_and_a_full_one_complete() -> None:
    assert complete(np.full((2, 3), np.nan))[0].size == 0
    assert complete(TABLE)[1:] == ([], [])


# Verdicts


def effect_with(
    interval: tuple[float, float],
    narrow: tuple[float, float] | None = None,
    new_style: tuple[float, float] | None = None,
    **changes: Any,
) -> Effect:
    """Return an effect with these intervals: 95 %, 90 %, and of a new style; styles differ."""
    (low90, high90), (new_low, new_high) = narrow or interval, new_style or narrow or interval
    given = {"low": interval[0], "high": interval[1], "low90": low90, "high90": high90}
    given |= {"new_style_low": new_low, "new_style_high": new_high, "styles_differ_p": 0.001}
    return replace(effect(sample(), "higher"), **{**given, **changes})


@pytest.mark.parametrize(
    ("interval", "higher", "lower", "none"),
    [
        ((1.1, 2.0), "supported", "contradicted", "contradicted"),
        (
            (1.0, 2.0),
            "supported",
            "contradicted",
            "contradicted",
        ),  # exactly the smallest effect of interest
        ((0.1, 2.0), "supported (small)", "contradicted", "contradicted"),
        ((0.1, 0.9), "equivalent", "equivalent", "equivalent"),  # significant, but too small
        ((-0.9, 0.9), "equivalent", "equivalent", "equivalent"),
        ((-0.1, 1.1), "inconclusive", "inconclusive", "inconclusive"),
        ((-3.0, 3.0), "inconclusive", "inconclusive", "inconclusive"),
        ((-2.0, -0.1), "contradicted", "supported (small)", "contradicted"),
        ((-2.0, -1.1), "contradicted", "supported", "contradicted"),
    ],
)
def test_verdicts_with_a_smallest_effect_of_one(
    interval: tuple[float, float], higher: str, lower: str, none: str
) -> None:
    predictions: tuple[Sign, ...] = "higher", "lower", "none"
    verdicts = [verdict(effect_with(interval), sign, smallest=1.0) for sign in predictions]
    assert verdicts == [higher, lower, none]


def test_equivalence_needs_two_one_sided_tests_at_five_per_cent() -> None:
    assert verdict(effect_with((-1.1, 1.1), narrow=(-0.9, 0.9)), "none", 1.0) == "equivalent"
    assert verdict(effect_with((-1.3, 1.3), narrow=(-1.0, 1.0)), "none", 1.0) == "inconclusive"


@pytest.mark.parametrize(
    ("interval", "new_style", "expected"),
    [
        ((1.1, 2.0), (-0.1, 4.0), "supported (style-dependent)"),
        ((0.1, 2.0), (-1.0, 3.0), "supported (small) (style-dependent)"),
        ((-2.0, -0.1), (-3.0, 1.0), "contradicted (style-dependent)"),
        ((1.1, 2.0), (0.1, 4.0), "supported"),
        ((-0.5, 3.0), (-2.0, 5.0), "inconclusive"),  # inconclusive anyway
        ((-0.2, 0.2), (-1.5, 1.5), "equivalent (style-dependent)"),  # only on average
        ((-0.2, 0.2), (-0.8, 0.8), "equivalent"),
    ],
)
def test_a_verdict_that_a_new_style_may_change_is_style_dependent(
    interval: tuple[float, float], new_style: tuple[float, float], expected: str
) -> None:
    assert verdict(effect_with(interval, new_style=new_style), "higher", 1.0) == expected


def test_noise_alone_does_not_make_a_verdict_style_dependent() -> None:
    noisy = effect_with((1.1, 2.0), new_style=(-0.1, 4.0), styles_differ_p=0.2)
    assert verdict(noisy, "higher", 1.0) == "supported"


def test_a_verdict_needs_a_significant_adjusted_p() -> None:
    assert verdict(effect_with((1.1, 2.0)), "higher", 1.0, adjusted_p=0.04) == "supported"
    assert verdict(effect_with((1.1, 2.0)), "higher", 1.0, adjusted_p=0.06) == "inconclusive"
    assert verdict(effect_with((0.1, 0.2)), "higher", 1.0, adjusted_p=0.06) == "equivalent"


def test_a_verdict_needs_six_styles_and_six_contents() -> None:
    verdicts = [
        verdict(effect(np.ones(n), "higher"), "higher", 0.1) for n in [(5, 9), (9, 5), (6, 6)]
    ]
    assert verdicts == ["illustration", "illustration", "supported"]


@pytest.mark.parametrize("smallest", [0.0, -1.0, np.nan])
def test_the_smallest_effect_must_be_positive(smallest: float) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        verdict(effect_with((1.0, 2.0)), "higher", smallest)


# Several claims, and variance shares


def test_holm_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.015 x 3 = 0.045, 0.02 x 2 = 0.04 but not below 0.045, 0.6 x 1
    assert statistics.holm([0.02, 0.01, 0.6, 0.015]) == pytest.approx([0.045, 0.04, 0.6, 0.045])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]  # 0.5 x 2; no p is above 1
    assert statistics.holm([]) == []


def test_benjamini_and_hochberg_by_hand() -> None:
    # From the largest: 0.6 x 4/4; 0.02 x 4/3 = 0.0267; 0.015 x 4/2 = 0.03, but not above 0.0267;
    # 0.01 x 4/1 = 0.04, but not above either
    adjusted = statistics.benjamini_hochberg([0.02, 0.01, 0.6, 0.015])
    assert adjusted == pytest.approx([0.08 / 3, 0.08 / 3, 0.6, 0.08 / 3])
    assert statistics.benjamini_hochberg([]) == []


@pytest.mark.parametrize("adjust", [statistics.holm, statistics.benjamini_hochberg])
def test_values_that_are_not_probabilities_are_rejected(adjust: Any) -> None:
    for bad in (np.nan, -0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            adjust([0.1, bad])


def test_variance_shares_by_hand() -> None:
    # 0/4 for the style, 0/2 for the variant, nothing else: deviations 2 and 1.
    # MS_style = 4 cells x (2^2 + 2^2) / 1 = 32, MS_variant = 4 x (1 + 1) / 1 = 8, the rest 0;
    # the components are 32 / 4 = 8 and 8 / 4 = 2.
    style, variant = np.array([0.0, 4.0]), np.array([0.0, 2.0])
    values = style[:, None, None] + np.zeros((1, 2, 1)) + variant[None, None, :]
    shares = statistics.variance_shares(values)
    assert shares["style"] == pytest.approx(8 / 10)
    assert shares["variant"] == pytest.approx(2 / 10)
    assert sum(shares.values()) == pytest.approx(1)


def test_variance_shares_recover_simulated_components() -> None:
    normal, shape = np.random.default_rng(3).standard_normal, (60, 50, 40)
    values = 2 * normal((60, 1, 1)) + normal((1, 1, 40)) + normal((60, 1, 40)) + normal(shape)
    planted = {"style": 4, "variant": 1, "style x variant": 1, "residual": 1}  # of 7
    for name, share in statistics.variance_shares(values).items():
        # A variance of n draws has sd sqrt(2 / n) of itself: 0.18 of 4 / 7 with 60 styles
        assert share == pytest.approx(planted.get(name, 0) / 7, abs=0.15), name


def test_a_constant_metric_has_shares_of_zero() -> None:
    assert set(statistics.variance_shares(np.full((3, 3, 3), 0.1)).values()) == {0.0}
    with pytest.raises(ValueError, match="two levels"):
        statistics.variance_shares(np.zeros((3, 3, 1)))


# Coverage in simulations

TABLES = 10_000
"""A share of 95 % then has sd sqrt(0.95 x 0.05 / 10,000) = 0.002: ten of them are 0.02."""

DESIGNS = {  # styles x contents x trainings; one of several seeds is averaged before
    "4x10x1": ((4, 10), 0.5, 0.15, 0.25 + 0.1),
    "10x10x1": ((10, 10), 0.5, 0.15, 0.25 + 0.1),
    "20x10x1": ((20, 10), 0.5, 0.15, 0.25 + 0.1),
    "trained 5x10x3": ((5, 10), 0.3 + 0.3 / 3, 0.1, 0.2 + 0.1 / 3),  # trainings within styles
    "trained 5x10x1": ((5, 10), 0.3 + 0.3, 0.1, 0.2 + 0.1),
    "trained 5x50x1": ((5, 50), 0.3 + 0.3, 0.1, 0.2 + 0.1),
}
each_design = pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS.keys())


def coverage(tables: Array) -> float:
    """Return the share of tables whose 95 % interval holds the true mean, zero."""
    low, high = crossed(tables).interval()
    return float(np.mean((low <= 0) & (high >= 0)))


@each_design
def test_a_crossed_interval_of_95_per_cent_holds_in_92_to_98(design: Any) -> None:
    assert 0.92 < coverage(simulate(TABLES, *design)) < 0.98


@each_design
def test_a_bootstrap_over_pairs_covers_less(design: Any) -> None:
    shape, *variances = design
    pairs = simulate(1000, shape, *variances).reshape(1000, -1)
    n, random = pairs.shape[1], np.random.default_rng(1)
    draws = pairs @ random.multinomial(n, np.full(n, 1 / n), 500).T / n  # of all tables at once
    low, high = np.quantile(draws, (0.025, 0.975), axis=1)
    # 26 to 53 % by design: pairs that share a style are counted as if they did not. The sd of a
    # share of a thousand is below 0.016.
    assert np.mean((low <= 0) & (high >= 0)) < 0.65


@pytest.mark.parametrize("shape", [(6, 6), (12, 10), (6, 20), (20, 6)])
@pytest.mark.parametrize(
    "variances",
    [(0, 0, 1), (1, 0, 0), (0, 1, 0), (0.5, 0.5, 0), (0.15, 0.5, 0.35), (0.05, 0.05, 0.9)],
)
def test_the_interval_covers_with_any_variance_components(
    shape: tuple[int, int], variances: tuple[float, float, float]
) -> None:
    # Where neither styles nor contents vary it holds more often, 98.6 % with 6 x 6: few mean
    # squares cannot tell that it could be narrower.
    assert 0.93 < coverage(simulate(TABLES, shape, *variances)) < 0.99


@pytest.mark.parametrize("variances", [(0.5, 0.15, 0.35), (0, 0.5, 0.5), (0.05, 0, 0.95)])
def test_prediction_intervals_cover_a_new_style(variances: tuple[float, float, float]) -> None:
    tables = simulate(TABLES, (9, 10), *variances)
    low, high = crossed(tables[:, :8]).new_style()  # eight known, one new
    mean = tables[:, 8].mean(-1)
    assert np.mean((low <= mean) & (mean <= high)) == pytest.approx(0.95, abs=0.01)  # 4.6 sd


def test_the_test_of_styles_rejects_a_true_null_in_five_per_cent() -> None:
    p = crossed(simulate(TABLES, (8, 6), 0, 0.5, 0.5)).styles_differ_p()
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.01)


def test_the_detectable_effect_is_detected_with_eighty_per_cent_power() -> None:
    # 10 x 10, 0.5 / 0.15 / 0.35: the mean has variance 0.05 + 0.015 + 0.0035, se 0.262. Expected
    # mean squares 5.35, 1.85 and 0.35 give df = 6.85^2 / (5.35^2/9 + 1.85^2/9 + 0.35^2/81) = 13.2,
    # and a noncentral t of 13.2 finds 3.03 se in 80 %: 0.79, the table's 0.8 with power 0.79.
    tables = simulate(TABLES, (10, 10), 0.5, 0.15, 0.35)
    assert np.median(crossed(tables).detectable()) == pytest.approx(0.79, abs=0.03)
    assert np.mean(crossed(tables + 0.79).p() <= 0.05) == pytest.approx(0.80, abs=0.02)
