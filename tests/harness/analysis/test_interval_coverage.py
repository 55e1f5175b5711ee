"""Coverage of intervals, and error rates of tests, in simulations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.analysis.statistics.crossed_effects import crossed
from tests.helpers.simulated_tables import Array, simulate

TABLES = 10_000
"""The sd of a share of 95 % is sqrt(0.95 x 0.05 / 10,000) = 0.002."""

DESIGNS = {  # styles x contents x trainings; results of several seeds are averaged
    "4x10x1": ((4, 10), 0.5, 0.15, 0.25 + 0.1),
    "10x10x1": ((10, 10), 0.5, 0.15, 0.25 + 0.1),
    "20x10x1": ((20, 10), 0.5, 0.15, 0.25 + 0.1),
    "trained 5x10x3": ((5, 10), 0.3 + 0.3 / 3, 0.1, 0.2 + 0.1 / 3),  # trainings within styles
    "trained 5x10x1": ((5, 10), 0.3 + 0.3, 0.1, 0.2 + 0.1),
    "trained 5x50x1": ((5, 50), 0.3 + 0.3, 0.1, 0.2 + 0.1),
}
each_design = pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS.keys())


def coverage(tables: Array) -> float:
    """Return the share of tables whose 95 % interval contains the true mean, zero."""
    low, high = crossed(tables).interval()
    return float(np.mean((low <= 0) & (high >= 0)))


@each_design
def test_a_crossed_interval_of_95_per_cent_covers_in_92_to_98(design: Any) -> None:
    assert 0.92 < coverage(simulate(TABLES, *design)) < 0.98


@each_design
def test_a_bootstrap_over_pairs_covers_less(design: Any) -> None:
    shape, *variances = design
    pairs = simulate(1000, shape, *variances).reshape(1000, -1)
    n, random = pairs.shape[1], np.random.default_rng(1)
    draws = pairs @ random.multinomial(n, np.full(n, 1 / n), 500).T / n  # all tables at once
    low, high = np.quantile(draws, (0.025, 0.975), axis=1)
    # 26 to 53 %, depending on the design, because it treats pairs that share a style as
    # independent. The sd of a share of a thousand tables is below 0.016.
    assert np.mean((low <= 0) & (high >= 0)) < 0.65


@pytest.mark.parametrize("shape", [(6, 6), (12, 10), (6, 20), (20, 6)])
@pytest.mark.parametrize(
    "variances",
    [(0, 0, 1), (1, 0, 0), (0, 1, 0), (0.5, 0.5, 0), (0.15, 0.5, 0.35), (0.05, 0.05, 0.9)],
)
def test_the_interval_covers_for_all_variance_components(
    shape: tuple[int, int], variances: tuple[float, float, float]
) -> None:
    # Without variation by style or content it covers more often: in 98.6 % with 6 x 6, because few
    # degrees of freedom do not show that it could be narrower.
    assert 0.93 < coverage(simulate(TABLES, shape, *variances)) < 0.99


@pytest.mark.parametrize("variances", [(0.5, 0.15, 0.35), (0, 0.5, 0.5), (0.05, 0, 0.95)])
def test_prediction_intervals_cover_a_new_style(variances: tuple[float, float, float]) -> None:
    tables = simulate(TABLES, (9, 10), *variances)
    low, high = crossed(tables[:, :8]).new_style()  # eight known styles, one new style
    mean = tables[:, 8].mean(-1)
    assert np.mean((low <= mean) & (mean <= high)) == pytest.approx(0.95, abs=0.01)  # 4.6 sd


def test_the_test_for_differing_styles_rejects_a_true_null_hypothesis_in_five_per_cent() -> None:
    p = crossed(simulate(TABLES, (8, 6), 0, 0.5, 0.5)).styles_differ_p()
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.01)


def test_the_detectable_effect_is_detected_with_eighty_per_cent_power() -> None:
    # 10 x 10, 0.5 / 0.15 / 0.35: the mean has variance 0.05 + 0.015 + 0.0035, se 0.262. Expected
    # mean squares 5.35, 1.85 and 0.35 give df = 6.85^2 / (5.35^2/9 + 1.85^2/9 + 0.35^2/81) = 13.2,
    # and a noncentral t with 13.2 df detects 3.03 se = 0.79 with a power of 80 %.
    tables = simulate(TABLES, (10, 10), 0.5, 0.15, 0.35)
    assert np.median(crossed(tables).detectable()) == pytest.approx(0.79, abs=0.03)
    assert np.mean(crossed(tables + 0.79).p() <= 0.05) == pytest.approx(0.80, abs=0.02)
