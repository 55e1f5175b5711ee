"""Verdicts, corrections, controls and notes of the rows of evaluated claims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.claims import evaluate_claims
from tests.helpers.claim_results import (
    NORM_CLAIM,
    SSIM_CLAIM,
    STYLES,
    deviation,
    evaluate_one,
    factorial_results,
    loss,
    make_results,
)


def test_an_effect_of_the_opposite_sign_contradicts_the_claim() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    row = evaluate_one(results, replace(NORM_CLAIM, predicts="higher"))
    assert row.verdict == "contradicted"


def test_a_claim_about_a_level_without_cells_is_not_tested_and_names_the_level() -> None:
    row = evaluate_one(make_results(loss, norm=["batch"]), NORM_CLAIM)
    assert (row.verdict, row.notes) == ("not tested", ("no cell of net has norm instance",))


def test_a_score_that_no_cell_has_is_unavailable() -> None:
    results = make_results(loss, norm=["batch", "instance"]).assign(style_loss=None)
    row = evaluate_one(results, NORM_CLAIM)
    assert (row.verdict, row.notes) == (
        "unavailable",
        ("no pair of cells has a score style_loss",),
    )


def test_fewer_than_six_styles_give_an_illustration_and_no_verdict() -> None:
    few = make_results(loss, norm=["batch", "instance"], styles=STYLES[:5])
    assert evaluate_one(few, NORM_CLAIM).verdict == "illustration"
    one_style = make_results(loss, norm=["batch", "instance"], styles=STYLES[:1])
    row = evaluate_one(one_style, NORM_CLAIM)
    assert row.verdict == "illustration"
    assert (row.ci_lo, row.p) == (None, None)  # one style gives no interval


def test_a_metric_without_a_smallest_effect_of_interest_has_an_estimate_and_no_verdict() -> None:
    results = make_results(loss, norm=["batch", "instance"]).rename(columns={"ssim": "foreign"})
    row = evaluate_one(results, replace(NORM_CLAIM, metric="foreign"))
    assert row.verdict == "unavailable"
    assert row.estimate == pytest.approx(0)
    assert row.notes == ("foreign has no smallest effect of interest; set `smallest` in the claim",)
    row = evaluate_one(results, replace(NORM_CLAIM, metric="foreign", smallest=0.1))
    assert row.verdict == "equivalent"


def test_unequal_budgets_are_noted() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    results.loc[results["param.norm"] == "batch", "passes"] = 125
    assert evaluate_one(results, NORM_CLAIM).notes == ("unequal budgets: 125 and 100 passes",)


def test_a_score_of_the_network_that_the_method_minimizes_is_circular() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    assert evaluate_one(results, NORM_CLAIM, {"style_loss": "vgg19"}).circular
    assert not evaluate_one(results, NORM_CLAIM, {"style_loss": "alexnet"}).circular


def test_primary_rows_are_corrected_by_holm_apart_from_secondary_rows_and_controls() -> None:
    results = factorial_results()
    results["style_loss"] = [loss(s, c, norm=n) for s, c, n in
                             zip(results["style"], results["content"], results["param.norm"],
                                 strict=True)]  # fmt: skip
    claims = [
        replace(SSIM_CLAIM, also=("style_loss",)),
        replace(SSIM_CLAIM, id="T", factor="tv", levels=(0.0, 5.0)),
        replace(SSIM_CLAIM, id="Z", factor="tv", levels=(0.0, 5.0), control="effect"),
    ]
    rows = {(row.claim_id, row.primary): row for row in evaluate_claims(results, claims, {})}
    # There are two primary rows without the control: Holm doubles the smaller p.
    assert rows["F1", True].p_adj == pytest.approx(2 * rows["F1", True].p)
    assert rows["Z", True].p_adj == rows["Z", True].p
    assert rows["F1", False].p_adj == rows["F1", False].p  # the only secondary row


def test_a_row_that_is_inconclusive_only_after_correction_has_a_note() -> None:
    def small_effect(style: str, content: str, norm: str, **rest: Any) -> float:
        # Mean 0.062, deviation 0.048 over six styles: t = 0.062 / 0.0194 = 3.2, p = 0.025.
        effect = (0.10, 0.03, 0.12, 0.02, 0.09, 0.01)[int(style[1])]
        return 0.4 + deviation(content, style) - (effect if norm == "instance" else 0)

    results = make_results(small_effect, norm=["batch", "instance"])
    results["ssim"] = results["style_loss"]
    claim = replace(NORM_CLAIM, metric="ssim", smallest=0.02)
    alone = evaluate_one(results, claim)
    assert alone.p < 0.05
    assert alone.verdict.startswith("supported")
    corrected = evaluate_claims(results, [replace(claim, id=f"F{i}") for i in range(9)], {})
    assert {row.verdict for row in corrected} == {"inconclusive"}
    assert corrected[0].notes == ("inconclusive after correction of p",)


def test_a_secondary_metric_predicts_the_sign_that_is_as_good_as_that_of_the_primary_metric() -> (
    None
):
    results = make_results(loss, norm=["batch", "instance"])
    for predicts, other in (("lower", "higher"), ("higher", "lower"), ("none", "none")):
        claim = replace(NORM_CLAIM, predicts=predicts, also=("ssim",))  # type: ignore[arg-type]
        assert evaluate_claims(results, [claim], {})[1].predicted_sign == other


def test_failed_controls_are_noted_on_the_rows_of_other_claims() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    null = replace(NORM_CLAIM, id="Z1", control="null", predicts="none")
    missed = replace(NORM_CLAIM, id="Z2", control="effect", predicts="higher")
    rows = evaluate_claims(results, [NORM_CLAIM, null, missed], {})
    assert rows[0].notes == (
        "the control Z1 found a difference where there is none",
        "the control Z2 missed the known effect",
    )
    assert rows[1].notes == rows[2].notes == ()


def test_a_control_fails_only_by_its_primary_metric() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    null = replace(
        NORM_CLAIM, id="Z1", metric="ssim", also=("style_loss",), control="null", predicts="none"
    )
    rows = evaluate_claims(results, [NORM_CLAIM, null], {})
    assert [row.verdict for row in rows] == ["supported", "equivalent", "contradicted"]
    assert rows[0].notes == ()


def test_an_exact_repetition_is_equivalent() -> None:
    results = make_results(loss, seed=[0, 1])
    null = replace(NORM_CLAIM, factor="seed", levels=(0, 1), predicts="none", control="null")
    row = evaluate_one(results, null)
    assert (row.estimate, row.ci_lo, row.ci_hi, row.p) == (1, 1, 1, 1)
    assert row.verdict == "equivalent"
