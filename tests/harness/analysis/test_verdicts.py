"""Verdicts on effects, corrections for multiple claims, and variance shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.analysis import statistics
from harness.analysis.statistics import Effect, effect, verdict
from harness.records import Sign
from tests.helpers.simulated_tables import sample


def effect_with(
    interval: tuple[float, float],
    narrow: tuple[float, float] | None = None,
    new_style: tuple[float, float] | None = None,
    **changes: Any,
) -> Effect:
    """Return an effect with a 95 % interval, a 90 % interval and one of a new style."""
    (low90, high90), (new_low, new_high) = narrow or interval, new_style or narrow or interval
    fields = {"low": interval[0], "high": interval[1], "low90": low90, "high90": high90}
    fields |= {"new_style_low": new_low, "new_style_high": new_high, "styles_differ_p": 0.001}
    return replace(effect(sample(), "higher"), **{**fields, **changes})


@pytest.mark.parametrize(
    ("interval", "higher", "lower", "none"),
    [
        ((1.1, 2.0), "supported", "contradicted", "contradicted"),
        # exactly the smallest effect of interest
        ((1.0, 2.0), "supported", "contradicted", "contradicted"),
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
        ((-0.5, 3.0), (-2.0, 5.0), "inconclusive"),  # also inconclusive without a new style
        ((-0.2, 0.2), (-1.5, 1.5), "equivalent (style-dependent)"),  # equivalent on average only
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


def test_holm_has_known_answers() -> None:
    # Sorted: 0.01 x 4, 0.015 x 3 = 0.045, 0.02 x 2 = 0.04 but not below 0.045, 0.6 x 1
    assert statistics.holm([0.02, 0.01, 0.6, 0.015]) == pytest.approx([0.045, 0.04, 0.6, 0.045])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]  # 0.5 x 2, at most 1
    assert statistics.holm([]) == []


def test_benjamini_hochberg_has_known_answers() -> None:
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


def test_variance_shares_have_known_answers() -> None:
    # Styles are 0 and 4, variants 0 and 2: their deviations from the mean are 2 and 1.
    # MS_style = 4 cells x (2^2 + 2^2) / 1 = 32, MS_variant = 4 x (1 + 1) / 1 = 8, others 0;
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
    components = {"style": 4, "variant": 1, "style x variant": 1, "residual": 1}  # of 7
    for name, share in statistics.variance_shares(values).items():
        # The variance of n draws has a relative sd of sqrt(2 / n): 0.18 for 60 styles
        assert share == pytest.approx(components.get(name, 0) / 7, abs=0.15), name


def test_a_constant_metric_has_shares_of_zero() -> None:
    assert set(statistics.variance_shares(np.full((3, 3, 3), 0.1)).values()) == {0.0}
    with pytest.raises(ValueError, match="two levels"):
        statistics.variance_shares(np.zeros((3, 3, 1)))
