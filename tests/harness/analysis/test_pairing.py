"""The cells that a claim compares, and their effect."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.claims import evaluate_claims
from harness.analysis.claims.judge import UNCROSSED
from harness.analysis.claims.pairing import differences, paired
from harness.registry import quantities
from tests.helpers.claim_results import (
    CONTENTS,
    NORM_CLAIM,
    SSIM_CLAIM,
    STYLES,
    deviation,
    evaluate_one,
    factorial_results,
    loss,
    make_results,
)


def test_a_ratio_is_the_mean_log_ratio_over_blocks_that_differ_only_in_the_factor() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    row = evaluate_one(results, NORM_CLAIM)
    logs = [math.log(0.5 * (1 + deviation(s, c))) for s in STYLES for c in CONTENTS]
    assert row.estimate == pytest.approx(math.exp(sum(logs) / 36))
    assert row.ci_lo < 0.5 < row.ci_hi
    assert (row.unit, row.n_style, row.n_content, row.n_seed) == ("×", 6, 6, 1)
    assert row.verdict == "supported"
    batch = [math.log(0.4 * (1 + 5 * deviation(c, s))) for s in STYLES for c in CONTENTS]
    assert row.level_means[0] == pytest.approx(math.exp(sum(batch) / 36))
    assert row.heterogeneity == row.p_better == 1


def test_a_difference_has_the_unit_of_its_metric() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    results.loc[results["param.norm"] == "instance", "ssim"] += 0.07
    row = evaluate_one(results, replace(NORM_CLAIM, metric="ssim", predicts="higher"))
    assert row.estimate == pytest.approx(0.07)
    assert row.smallest == 0.02
    assert row.verdict == "supported"


def test_losses_of_saved_images_and_of_raw_pixels_are_never_compared() -> None:
    claim = replace(NORM_CLAIM, metric="objective")
    results = make_results(loss, norm=["batch", "instance"]).rename(
        columns={"style_loss": "objective"}
    )
    raw = evaluate_one(results.assign(objective_of="raw pixels"), claim)
    saved = evaluate_one(results.assign(objective_of="saved image"), claim)
    assert raw.verdict == saved.verdict == "supported"
    assert raw.estimate == saved.estimate
    raw_only = results["style"] == "s0"  # as in records of schema 1
    mixed = results.assign(objective_of=raw_only.map({True: "raw pixels", False: "saved image"}))
    row = evaluate_one(mixed, claim)
    assert row.n_style == 5
    assert "style s0 dropped: cells or scores are missing" in row.notes


def test_cells_that_differ_in_more_than_the_factor_are_not_paired() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    results.loc[results["param.norm"] == "instance", "param.steps"] = "400"
    row = evaluate_one(results, NORM_CLAIM)
    assert (row.verdict, row.notes) == ("not tested", ("no two cells differ in norm alone",))


def test_a_main_effect_is_averaged_over_the_other_factors() -> None:
    # The effect is 0.2 without TV and 0.24 with it.
    assert evaluate_one(factorial_results(), SSIM_CLAIM).estimate == pytest.approx(0.22)


def test_a_fixed_parameter_is_not_averaged() -> None:
    # `tv: 0` in a claim equals 0.0 in a record.
    row = evaluate_one(factorial_results(), replace(SSIM_CLAIM, where={"tv": 0}))
    assert row.estimate == pytest.approx(0.2)
    assert "(at tv 0)" in row.factors


def test_an_interaction_is_a_difference_of_differences() -> None:
    row = evaluate_one(factorial_results(), replace(SSIM_CLAIM, across={"tv": (0.0, 5.0)}))
    assert row.estimate == pytest.approx(0.24 - 0.2)


def test_seeds_are_averaged_and_do_not_count_as_blocks() -> None:
    def seeded(style: str, content: str, seed: int, **rest: Any) -> float:
        return loss(style, content, **rest) * (1.1 if seed else 1)

    once = evaluate_one(make_results(loss, norm=["batch", "instance"]), NORM_CLAIM)
    twice = evaluate_one(make_results(seeded, norm=["batch", "instance"], seed=[0, 1]), NORM_CLAIM)
    assert twice.n_seed == 2
    assert twice.estimate == pytest.approx(once.estimate)
    assert twice.ci_lo == pytest.approx(once.ci_lo)


def test_a_seed_that_only_one_level_has_is_ignored() -> None:
    results = make_results(loss, norm=["batch", "instance"], seed=[0, 1])
    lone = (results["seed"] == 1) & (results["param.norm"] == "instance")
    assert evaluate_one(results[~lone], NORM_CLAIM).n_seed == 1


def test_each_level_uses_the_best_mean_value_of_the_tuned_parameter() -> None:
    def tuned(style: str, content: str, optimizer: str, rate: str, **rest: Any) -> float:
        base = 0.3 if optimizer == "adam" else 0.2
        return base * (1 + deviation(style, content)) * {"0.1": 1.5, "0.02": 1.0, "null": 0.9}[rate]

    results = make_results(tuned, optimizer=["adam", "lbfgs"], rate=["0.1", "0.02", "null"])
    tuned_lbfgs = (results["param.optimizer"] == "lbfgs") & (results["param.rate"] != "null")
    untuned_adam = (results["param.optimizer"] == "adam") & (results["param.rate"] == "null")
    claim = replace(NORM_CLAIM, factor="optimizer", levels=("adam", "lbfgs"), tuned="rate")
    results["ssim"] = -results["style_loss"]  # best where the primary metric is worst
    row, secondary = evaluate_claims(
        results[~tuned_lbfgs & ~untuned_adam], [replace(claim, also=("ssim",))], {}
    )
    assert row.estimate == pytest.approx(0.2 * 0.9 / 0.3)
    assert row.notes == ("each at its best: adam at rate 0.02, lbfgs at rate null",)
    assert secondary.notes == row.notes  # both rows use the same cells


def test_a_missing_cell_drops_a_whole_style_or_content_and_is_noted() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    failed = (results["style"] == "s2") & (results["param.norm"] == "instance")
    results.loc[failed, ["status", "style_loss"]] = ["diverged", None]
    row = evaluate_one(results, NORM_CLAIM)
    assert (row.n_style, row.n_content) == (5, 6)
    assert row.failed == (0, 6)
    # The means are over the compared blocks, so that their ratio is the effect.
    assert row.level_means[1] / row.level_means[0] == pytest.approx(row.estimate)
    assert "style s2 dropped: cells or scores are missing" in row.notes
    assert "0 cells failed at batch, 6 at instance" in row.notes
    assert row.verdict == "illustration"  # a verdict needs six styles


def test_pairs_that_are_not_crossed_have_a_mean_and_no_interval() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    diagonal = results[results["style"].str[1] == results["content"].str[1]]
    row = evaluate_one(diagonal, NORM_CLAIM)
    assert (row.n_pair, row.n_style, row.verdict) == (6, 0, "illustration")
    logs = [math.log(0.5 * (1 + deviation(f"s{i}", f"c{i}"))) for i in range(6)]
    assert row.estimate == pytest.approx(math.exp(sum(logs) / 6))
    assert row.level_means[1] / row.level_means[0] == pytest.approx(row.estimate)
    assert (row.ci_lo, row.p) == (None, None)
    assert row.notes == (UNCROSSED,)


def test_a_score_of_a_failed_cell_is_ignored() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    results.loc[results.index[:1], "status"] = "diverged"
    (one,) = paired(results, NORM_CLAIM)
    compared = differences(one.cells, quantities.measure("style_loss"))
    assert compared.contrast.isna().sum().sum() == 1


def test_results_under_different_conditions_have_separate_rows() -> None:
    results = make_results(loss, norm=["batch", "instance"], size=[128, 256])
    rows = evaluate_claims(results, [NORM_CLAIM], {})
    assert [row.conditions["size"] for row in rows] == [128, 256]
    assert [row.n_style * row.n_content for row in rows] == [36, 36]


def test_the_size_can_be_the_factor() -> None:
    def sized(style: str, content: str, size: int, **rest: Any) -> float:
        return 0.4 * (1 + deviation(style, content)) * (2 if size == 256 else 1)

    claim = replace(NORM_CLAIM, factor="size", levels=(128, 256), predicts="higher")
    row = evaluate_one(make_results(sized, size=[128, 256]), claim)
    assert row.estimate == pytest.approx(2)
    assert "size" not in row.conditions


def test_methods_may_differ_in_any_condition_including_the_encoder() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    fast = results["param.norm"] == "instance"
    results.loc[fast, ["label", "encoder", "param.steps"]] = ["fast", "vgg16", "400"]
    results["stylize_seconds"] = results["style_loss"]
    results.loc[fast, "fit_seconds"] = 7.3
    claim = replace(NORM_CLAIM, factor="method", levels=("net", "fast"), metric="stylize_seconds")
    row = evaluate_one(results, claim, {"stylize_seconds": ""})
    assert row.verdict == "supported"
    assert row.conditions == {"size": 256, "precision": "float32", "device": "cpu"}
    assert row.budget == 100
    # 7.3 s of training, divided by the time saved per image, a difference of geometric means
    saved = row.level_means[0] - row.level_means[1]
    images = math.ceil(7.3 / saved)
    assert f"the faster one compensates its fit from {images} images on" in row.notes
