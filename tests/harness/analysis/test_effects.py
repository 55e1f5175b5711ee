"""Effects with their intervals, p-values and shares: known answers, properties, limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.analysis.statistics import complete, effect, verdict
from harness.analysis.statistics.resampling import flip_p, share_interval
from tests.helpers.simulated_tables import sample, simulate

TABLE = np.array([[1.0, 2.0], [3.0, 6.0]])
"""Mean 3; style means 1.5 and 4.5; content means 2 and 4; the residuals are 0.5, -0.5, -0.5, 0.5.

MS_S  = 2 contents x (1.5^2 + 1.5^2) / 1 = 9
MS_C  = 2 styles x (1^2 + 1^2) / 1 = 4
MS_SC = 4 x 0.5^2 / 1 = 1
"""


def test_the_variance_of_the_mean_is_the_sum_of_its_components() -> None:
    result = effect(TABLE, "higher")
    # (MS_S + MS_C - MS_SC) / 4 = 12 / 4 = 3; df = 12^2 / (9^2 / 1 + 4^2 / 1 + 1^2 / 1) = 144 / 98
    assert result.estimate == 3
    assert result.standard_error == pytest.approx(3**0.5)
    assert result.df == pytest.approx(144 / 98)
    half = stats.t.ppf(0.975, 144 / 98) * 3**0.5
    assert (result.low, result.high) == pytest.approx((3 - half, 3 + half))
    # style (9 - 1) / 2 = 4, content (4 - 1) / 2 = 1.5, residual 1: 6.5 together
    components = {"style": 4 / 6.5, "content": 1.5 / 6.5, "residual": 1 / 6.5}
    assert result.shares == pytest.approx(components)


def test_additive_effects_of_style_and_content_have_no_residual() -> None:
    table = np.array([[0.0], [3.0], [6.0]]) + np.array([[-1.0, 0.0, 1.0]])
    result = effect(table, "higher")
    # MS_S = 3 x (9 + 0 + 9) / 2 = 27, MS_C = 3 x (1 + 0 + 1) / 2 = 3, MS_SC = 0
    # variance 30 / 9; df = 30^2 / (27^2 / 2 + 3^2 / 2) = 900 / 369
    assert result.standard_error == pytest.approx((30 / 9) ** 0.5)
    assert result.df == pytest.approx(900 / 369)
    assert result.shares["residual"] == 0


def test_a_negative_variance_component_is_set_to_zero() -> None:
    # Style means 0 and 4, content means 2 and 2, residuals 1, -1, -1, 1:
    # MS_S = 2 x (4 + 4) = 16, MS_C = 0, MS_SC = 4. The content's would be (0 - 4) / 2.
    result = effect(np.array([[1.0, -1.0], [3.0, 5.0]]), "higher")
    assert result.shares["content"] == 0
    assert result.standard_error == pytest.approx((16 / 4) ** 0.5)
    assert result.df == 1  # those of the styles


def test_noise_that_cancels_in_the_means_of_rows_and_columns_widens_the_interval() -> None:
    # MS_S = MS_C = 0 and MS_SC = 4: these means alone would give the interval [0, 0].
    result = effect(np.array([[1.0, -1.0], [-1.0, 1.0]]), "higher")
    assert result.standard_error == pytest.approx((4 / 4) ** 0.5)


def test_an_effect_without_variation_by_content_equals_the_t_test_over_styles() -> None:
    means = np.array([0.3, -0.1, 0.8, 0.5, 0.2])
    result = effect(np.repeat(means[:, None], 40, axis=1), "higher")
    expected = stats.ttest_1samp(means, 0)
    assert result.df == 4
    assert result.p == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx(tuple(expected.confidence_interval()))
    narrow = stats.ttest_1samp(means, 0).confidence_interval(0.90)
    assert (result.low90, result.high90) == pytest.approx(tuple(narrow))


def test_the_standardized_effect_uses_style_means_with_a_correction_for_small_samples() -> None:
    # Means 1, 2, 3: mean 2 over sd 1, times 1 - 3 / (4 x 2 - 1) = 4 / 7
    assert effect(np.array([[0, 2], [1, 3], [2.0, 4]]), "higher").d_z == pytest.approx(8 / 7)
    assert effect(TABLE, "higher").d_z is None  # two styles: 1 - 3 / (4 x 1 - 1) = 0


def test_the_prediction_interval_of_a_new_style_has_a_known_answer() -> None:
    result = effect(TABLE, "higher")
    # Style means 1.5 and 4.5 have sd 3 / sqrt(2); t of one degree of freedom is 12.706
    half = 12.7062 * 3 / 2**0.5 * (1 + 1 / 2) ** 0.5
    assert (result.new_style_low, result.new_style_high) == pytest.approx((3 - half, 3 + half))
    assert result.styles_differ_p == pytest.approx(stats.f.sf(9 / 1, 1, 1))


def test_shares_count_the_predicted_sign_fully_and_ties_half() -> None:
    table = np.array([[-1.0, -2.0, 3.0], [-1.0, 0.0, 1.0]])  # means 0 and 0
    result = effect(table, "lower")
    assert result.better == (3 + 0.5) / 6
    assert result.agreeing_styles == (0.5 + 0.5) / 2
    assert effect(table, "higher").better == (2 + 0.5) / 6
    assert effect(table, "none").better == effect(table, "higher").better


@pytest.mark.parametrize("styles", [6, 9])
def test_the_sign_flip_test_equals_that_of_scipy(styles: int) -> None:
    means = sample(styles, 12, mean=0.4).mean(1)
    exact = stats.permutation_test((means,), np.mean, permutation_type="samples")
    # Flips of ten equal contents give p = 2 / 2^10, below that of styles.
    table = np.repeat(means[:, None], 10, axis=1)
    assert flip_p(table) == pytest.approx(exact.pvalue)


def test_the_smallest_p_is_below_five_per_cent_from_six_styles_on() -> None:
    assert flip_p(np.ones((5, 9))) == 2 / 2**5  # 0.0625: all signs as observed, or all flipped
    assert flip_p(np.ones((6, 9))) == 2 / 2**6  # 0.031


def test_the_sampled_signs_include_the_observed_ones() -> None:
    assert flip_p(np.ones((20, 20))) == pytest.approx(1 / 2**14, abs=2e-4)  # never zero
    assert flip_p(np.ones((20, 20))) > 0


def test_the_sign_flip_test_treats_contents_as_random() -> None:
    tables = simulate(400, (12, 10), style=0.0, content=0.5, residual=0.5)
    # Flips of styles alone would reject 56 % of true null hypotheses, because all style means
    # share the error of the contents' mean. The sd of a share of 5 % is 0.011, which is
    # sqrt(0.05 x 0.95 / 400).
    assert np.mean([flip_p(table) <= 0.05 for table in tables]) < 0.10


def test_a_share_has_an_interval_from_eight_styles_on() -> None:
    assert effect(sample(7, 20), "higher").better_low is None
    assert effect(sample(8, 6), "higher").better_low is not None


def test_a_share_has_an_interval_even_if_all_blocks_agree() -> None:
    result = effect(np.ones((10, 8)), "higher")
    # Eight independent blocks all agree with probability 0.6306^8 = 0.025
    assert (result.better_low, result.better_high) == pytest.approx((0.6306, 1), abs=1e-4)
    against = effect(np.ones((10, 8)), "lower")
    assert (against.better_low, against.better_high) == pytest.approx((0, 0.3694), abs=1e-4)


@pytest.mark.parametrize("mean", [0.0, 1.0, 2.0])
def test_the_interval_of_a_share_covers_the_true_share(mean: float) -> None:
    truth, tables = stats.norm.cdf(mean), simulate(400, (12, 10), 0.5, 0.15, 0.35) + mean
    limits = [share_interval(table, 1) or (1, 0) for table in tables]
    # At mean 2 all blocks often agree, and a bootstrap of blocks alone covers in 78 %. The sd of
    # the share is sqrt(0.95 x 0.05 / 400) = 0.011.
    assert np.mean([low <= truth <= high for low, high in limits]) > 0.90


def test_effects_scale_with_their_unit() -> None:
    table = sample(mean=0.3)
    plain, scaled = effect(table, "higher"), effect(1000 * table, "higher")
    for name in ("low", "high90", "standard_error", "new_style_low", "detectable"):
        assert getattr(scaled, name) == pytest.approx(1000 * getattr(plain, name))
    for name in ("df", "p", "permutation_p", "d_z", "better", "better_low", "styles_differ_p"):
        assert getattr(scaled, name) == pytest.approx(getattr(plain, name))


def test_a_shift_moves_the_interval_and_keeps_its_width() -> None:
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


def test_a_deterministic_level_is_equivalent_to_itself_without_uncertainty() -> None:
    result = effect(np.zeros((8, 8)), "lower")
    assert (result.low, result.high, result.p, result.permutation_p) == (0, 0, 1, 1)
    assert (result.better, result.better_low, result.better_high) == (0.5, 0.5, 0.5)
    assert (result.d_z, result.styles_differ_p, result.detectable) == (None, 1, 0)
    assert verdict(result, "lower", 1e-9) == "equivalent"


def test_rounding_errors_do_not_count_as_variance() -> None:
    result = effect(np.full((9, 7), 0.3) - 0.2 + np.linspace(0, 1e-16, 63).reshape(9, 7), "higher")
    assert (result.standard_error, result.d_z, result.p) == (0, None, 0)
    assert sum(result.shares.values()) == 0
    assert verdict(result, "higher", 0.02) == "supported"


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_one_style_or_one_content_has_no_interval(shape: tuple[int, int]) -> None:
    result = effect(np.full(shape, 2.0), "higher")
    assert (result.estimate, result.better) == (2, 1)
    assert result.low is result.p is result.d_z is result.new_style_low is result.detectable is None
    assert verdict(result, "higher", 1.0) == "illustration"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_missing_value_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="1 of 4 cells"):
        effect(np.array([[1.0, bad], [2.0, 3.0]]), "higher")


@pytest.mark.parametrize("shape", [(4,), (0, 4), (2, 3, 4)])
def test_a_table_that_is_not_a_matrix_is_an_error(shape: tuple[int, ...]) -> None:
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


def test_an_empty_table_stays_empty_and_a_complete_one_stays_complete() -> None:
    assert complete(np.full((2, 3), np.nan))[0].size == 0
    assert complete(TABLE)[1:] == ([], [])
