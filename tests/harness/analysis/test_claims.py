"""From results to verdicts: which cells are paired, and the rows that follow."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import suite
from harness.analysis.claims import compared, evaluate_claims, shares
from harness.analysis.claims.export import FORMATS
from harness.analysis.claims.judge import UNCROSSED
from harness.analysis.claims.pairing import differences, paired
from harness.errors import SuiteError, UsageError
from harness.records import Claim
from harness.registry import METRICS, quantities

STYLES = [f"s{i}" for i in range(6)]
CONTENTS = [f"c{i}" for i in range(6)]

NORM = Claim(
    id="F1", statement="Instance is lower.", factor="norm", levels=("batch", "instance"),
    metric="style_loss", predicts="lower", method="net",
)  # fmt: skip


def wobble(style: str, content: str) -> float:
    """Return a deviation of a block between -0.05 and 0.05, the same at every level."""
    return ((int(style[1]) * 7 + int(content[1]) * 3) % 11 - 5) / 100


def cells(
    value: Callable[..., float], *, styles: Any = STYLES, contents: Any = CONTENTS, **factors: Any
) -> pd.DataFrame:
    """Return results of each combination of factors, scored by `value(style, content, **levels)`.

    `seed` and `size` are columns of their own; other factors are parameters.
    """
    found = []
    for style, content, *levels in itertools.product(styles, contents, *factors.values()):
        place = {"seed": 0, "size": 256, **dict(zip(factors, levels, strict=True))}
        params = {f"param.{k}": str(v) for k, v in place.items() if k not in ("seed", "size")}
        name = ",".join(params.values())
        found.append({
            "label": "net", "variant": f"net[{name}]", "anchor": False, "style": style,
            "content": content, "status": "done", "seed": place["seed"], "size": place["size"],
            "encoder": "vgg19", "encoder_sha256": "0", "precision": "float32", "device": "cpu",
            "passes": 100, "fit_seconds": 0.0, "style_loss": value(style, content, **place),
            "ssim": 0.5 + wobble(style, content), **params,
        })  # fmt: skip
    return pd.DataFrame(found)


def loss(style: str, content: str, *, norm: str = "batch", **rest: Any) -> float:
    """Return a loss of about 0.4, halved by instance normalisation, with deviations per block."""
    halved = 0.5 * (1 + wobble(style, content)) if norm == "instance" else 1.0
    return 0.4 * (1 + 5 * wobble(content, style)) * halved


def only(rows: list[Any]) -> Any:
    assert len(rows) == 1
    return rows[0]


def test_a_ratio_is_the_mean_of_log_ratios_over_blocks_that_differ_in_the_factor_alone() -> None:
    results = cells(loss, norm=["batch", "instance"])
    row = only(evaluate_claims(results, [NORM], {}))
    logs = [math.log(0.5 * (1 + wobble(s, c))) for s in STYLES for c in CONTENTS]
    assert row.estimate == pytest.approx(math.exp(sum(logs) / 36))
    assert row.ci_lo < 0.5 < row.ci_hi
    assert (row.unit, row.n_style, row.n_content, row.n_seed) == ("×", 6, 6, 1)
    assert row.verdict == "supported"
    batch = [math.log(0.4 * (1 + 5 * wobble(c, s))) for s in STYLES for c in CONTENTS]
    assert row.level_means[0] == pytest.approx(math.exp(sum(batch) / 36))
    assert row.heterogeneity == row.p_better == 1


def test_a_difference_stays_in_its_unit() -> None:
    results = cells(loss, norm=["batch", "instance"])
    results.loc[results["param.norm"] == "instance", "ssim"] += 0.07
    row = only(evaluate_claims(results, [replace(NORM, metric="ssim", predicts="higher")], {}))
    assert row.estimate == pytest.approx(0.07)
    assert row.smallest == 0.02
    assert row.verdict == "supported"


def test_losses_of_saved_images_and_of_raw_pixels_are_never_compared() -> None:
    claim = replace(NORM, metric="objective")
    results = cells(loss, norm=["batch", "instance"]).rename(columns={"style_loss": "objective"})
    raw = only(evaluate_claims(results.assign(objective_of="raw pixels"), [claim], {}))
    saved = only(evaluate_claims(results.assign(objective_of="saved image"), [claim], {}))
    assert raw.verdict == saved.verdict == "supported"
    assert raw.estimate == saved.estimate
    old = results["style"] == "s0"  # cells that were run before saved images were evaluated
    mixed = results.assign(objective_of=old.map({True: "raw pixels", False: "saved image"}))
    row = only(evaluate_claims(mixed, [claim], {}))
    assert row.n_style == 5
    assert "style s0 dropped: cells are missing" in row.notes


def test_the_other_sign_contradicts() -> None:
    results = cells(loss, norm=["batch", "instance"])
    row = only(evaluate_claims(results, [replace(NORM, predicts="higher")], {}))
    assert row.verdict == "contradicted"


def test_cells_that_differ_in_more_than_the_factor_are_no_pair() -> None:
    results = cells(loss, norm=["batch", "instance"])
    results.loc[results["param.norm"] == "instance", "param.steps"] = "400"
    row = only(evaluate_claims(results, [NORM], {}))
    assert (row.verdict, row.notes) == ("not tested", ("no two cells differ in norm alone",))


def test_a_level_that_did_not_run_is_named_in_a_row_that_is_not_tested() -> None:
    row = only(evaluate_claims(cells(loss, norm=["batch"]), [NORM], {}))
    assert (row.verdict, row.notes) == ("not tested", ("no cell of net has norm instance",))


def test_a_score_that_no_cell_has_is_unavailable() -> None:
    results = cells(loss, norm=["batch", "instance"]).assign(style_loss=None)
    row = only(evaluate_claims(results, [NORM], {}))
    assert (row.verdict, row.notes) == (
        "unavailable",
        ("no pair of cells has a score style_loss",),
    )


def planned(style: str, content: str, norm: str, tv: float, **rest: Any) -> float:
    """Return a score of 0.5, plus 0.2 for instance, 0.1 for TV, and 0.04 for both together."""
    instance, on = norm == "instance", tv > 0
    return 0.5 + wobble(style, content) + 0.2 * instance + 0.1 * on + 0.04 * (instance and on)


SSIM = replace(NORM, metric="ssim", predicts="higher")


def factorial() -> pd.DataFrame:
    results = cells(planned, norm=["batch", "instance"], tv=[0.0, 5.0])
    return results.assign(ssim=results["style_loss"])


def test_a_main_effect_is_averaged_over_the_other_factors() -> None:
    # 0.2 without TV and 0.24 with it.
    assert only(evaluate_claims(factorial(), [SSIM], {})).estimate == pytest.approx(0.22)


def test_a_factor_that_is_held_is_not_averaged() -> None:
    # `tv: 0` and the record's 0.0 are one.
    row = only(evaluate_claims(factorial(), [replace(SSIM, where={"tv": 0})], {}))
    assert row.estimate == pytest.approx(0.2)
    assert "(at tv 0)" in row.factors


def test_an_interaction_is_a_difference_of_differences() -> None:
    row = only(evaluate_claims(factorial(), [replace(SSIM, across={"tv": (0.0, 5.0)})], {}))
    assert row.estimate == pytest.approx(0.24 - 0.2)


def test_seeds_are_averaged_and_do_not_count_as_blocks() -> None:
    def seeded(style: str, content: str, seed: int, **rest: Any) -> float:
        return loss(style, content, **rest) * (1.1 if seed else 1)

    once = only(evaluate_claims(cells(loss, norm=["batch", "instance"]), [NORM], {}))
    twice = only(
        evaluate_claims(cells(seeded, norm=["batch", "instance"], seed=[0, 1]), [NORM], {})
    )
    assert twice.n_seed == 2
    assert twice.estimate == pytest.approx(once.estimate)
    assert twice.ci_lo == pytest.approx(once.ci_lo)


def test_a_seed_that_only_one_level_has_is_left_out() -> None:
    results = cells(loss, norm=["batch", "instance"], seed=[0, 1])
    lone = (results["seed"] == 1) & (results["param.norm"] == "instance")
    assert only(evaluate_claims(results[~lone], [NORM], {})).n_seed == 1


def test_the_tuned_level_is_taken_at_its_best_value_on_average() -> None:
    def tuned(style: str, content: str, optimizer: str, rate: str, **rest: Any) -> float:
        base = 0.3 if optimizer == "adam" else 0.2
        return base * (1 + wobble(style, content)) * {"0.1": 1.5, "0.02": 1.0, "null": 0.9}[rate]

    results = cells(tuned, optimizer=["adam", "lbfgs"], rate=["0.1", "0.02", "null"])
    free = (results["param.optimizer"] == "lbfgs") & (results["param.rate"] != "null")
    fixed = (results["param.optimizer"] == "adam") & (results["param.rate"] == "null")
    claim = replace(NORM, factor="optimizer", levels=("adam", "lbfgs"), tuned="rate")
    results["ssim"] = -results["style_loss"]  # best where the claim's own metric is worst
    row, secondary = evaluate_claims(results[~free & ~fixed], [replace(claim, also=("ssim",))], {})
    assert row.estimate == pytest.approx(0.2 * 0.9 / 0.3)
    assert row.notes == ("each at its best: adam at rate 0.02, lbfgs at rate null",)
    assert secondary.notes == row.notes  # both rows are of the same cells


def test_a_missing_cell_drops_a_whole_style_or_content_and_is_noted() -> None:
    results = cells(loss, norm=["batch", "instance"])
    gone = (results["style"] == "s2") & (results["param.norm"] == "instance")
    results.loc[gone, ["status", "style_loss"]] = ["diverged", None]
    row = only(evaluate_claims(results, [NORM], {}))
    assert (row.n_style, row.n_content) == (5, 6)
    assert row.failed == (0, 6)
    # The means are of the blocks that are compared, so that they go with the effect.
    assert row.level_means[1] / row.level_means[0] == pytest.approx(row.estimate)
    assert "style s2 dropped: cells are missing" in row.notes
    assert "0 cells failed at batch, 6 at instance" in row.notes
    assert row.verdict == "illustration"  # five styles allow no verdict


def test_pairs_that_are_not_crossed_have_a_mean_and_no_interval() -> None:
    results = cells(loss, norm=["batch", "instance"])
    diagonal = results[results["style"].str[1] == results["content"].str[1]]
    row = only(evaluate_claims(diagonal, [NORM], {}))
    assert (row.n_pair, row.n_style, row.verdict) == (6, 0, "illustration")
    logs = [math.log(0.5 * (1 + wobble(f"s{i}", f"c{i}"))) for i in range(6)]
    assert row.estimate == pytest.approx(math.exp(sum(logs) / 6))
    assert row.level_means[1] / row.level_means[0] == pytest.approx(row.estimate)
    assert (row.ci_lo, row.p) == (None, None)
    assert row.notes == (UNCROSSED,)


def test_a_score_of_a_failed_cell_is_ignored() -> None:
    results = cells(loss, norm=["batch", "instance"])
    results.loc[results.index[:1], "status"] = "diverged"
    (one,) = paired(results, NORM)
    found = differences(one.cells, quantities.measure("style_loss"))
    assert found.contrast.isna().sum().sum() == 1


def test_results_under_other_conditions_are_never_merged() -> None:
    results = cells(loss, norm=["batch", "instance"], size=[128, 256])
    rows = evaluate_claims(results, [NORM], {})
    assert [row.conditions["size"] for row in rows] == [128, 256]
    assert [row.n_style * row.n_content for row in rows] == [36, 36]


def test_a_size_may_be_the_factor() -> None:
    def sized(style: str, content: str, size: int, **rest: Any) -> float:
        return 0.4 * (1 + wobble(style, content)) * (2 if size == 256 else 1)

    claim = replace(NORM, factor="size", levels=(128, 256), predicts="higher")
    row = only(evaluate_claims(cells(sized, size=[128, 256]), [claim], {}))
    assert row.estimate == pytest.approx(2)
    assert "size" not in row.conditions


def test_few_styles_or_contents_allow_an_illustration_and_no_verdict() -> None:
    few = cells(loss, norm=["batch", "instance"], styles=STYLES[:5])
    assert only(evaluate_claims(few, [NORM], {})).verdict == "illustration"
    single = cells(loss, norm=["batch", "instance"], styles=STYLES[:1])
    row = only(evaluate_claims(single, [NORM], {}))
    assert row.verdict == "illustration"
    assert (row.ci_lo, row.p) == (None, None)  # one style does not generalise


def test_a_metric_without_a_smallest_effect_gets_numbers_and_no_verdict() -> None:
    results = cells(loss, norm=["batch", "instance"]).rename(columns={"ssim": "theirs"})
    row = only(evaluate_claims(results, [replace(NORM, metric="theirs")], {}))
    assert row.verdict == "unavailable"
    assert row.estimate == pytest.approx(0)
    assert row.notes == ("theirs has no smallest effect of interest; set `smallest` in the claim",)
    row = only(evaluate_claims(results, [replace(NORM, metric="theirs", smallest=0.1)], {}))
    assert row.verdict == "equivalent"


def test_unequal_budgets_are_noted() -> None:
    results = cells(loss, norm=["batch", "instance"])
    results.loc[results["param.norm"] == "batch", "passes"] = 125
    assert only(evaluate_claims(results, [NORM], {})).notes == (
        "unequal budgets: 125 and 100 passes",
    )


def test_recipes_may_differ_in_anything_including_the_encoder() -> None:
    results = cells(loss, norm=["batch", "instance"])
    quick = results["param.norm"] == "instance"
    results.loc[quick, ["label", "encoder", "param.steps"]] = ["fast", "vgg16", "400"]
    results["stylize_seconds"] = results["style_loss"]
    results.loc[quick, "fit_seconds"] = 7.3
    claim = replace(NORM, factor="method", levels=("net", "fast"), metric="stylize_seconds")
    row = only(evaluate_claims(results, [claim], {"stylize_seconds": ""}))
    assert row.verdict == "supported"
    assert row.conditions == {"size": 256, "precision": "float32", "device": "cpu"}
    assert row.budget == 100
    # Geometric means: 7.3 s of training over what one image saves.
    saved = row.level_means[0] - row.level_means[1]
    images = math.ceil(7.3 / saved)
    assert f"the faster one compensates its fit from {images} images on" in row.notes


def test_a_score_by_the_optimised_network_is_marked_as_circular() -> None:
    results = cells(loss, norm=["batch", "instance"])
    assert only(evaluate_claims(results, [NORM], {"style_loss": "vgg19"})).circular
    assert not only(evaluate_claims(results, [NORM], {"style_loss": "alexnet"})).circular


def test_primary_rows_are_corrected_by_holm_and_the_others_apart() -> None:
    results = factorial()
    results["style_loss"] = [loss(s, c, norm=n) for s, c, n in
                             zip(results["style"], results["content"], results["param.norm"],
                                 strict=True)]  # fmt: skip
    claims = [
        replace(SSIM, also=("style_loss",)),
        replace(SSIM, id="T", factor="tv", levels=(0.0, 5.0)),
        replace(SSIM, id="Z", factor="tv", levels=(0.0, 5.0), control="effect"),
    ]
    rows = {(row.claim_id, row.primary): row for row in evaluate_claims(results, claims, {})}
    # Two primary rows, the control is none of them: the smaller p is doubled.
    assert rows["F1", True].p_adj == pytest.approx(2 * rows["F1", True].p)
    assert rows["Z", True].p_adj == rows["Z", True].p
    assert rows["F1", False].p_adj == rows["F1", False].p  # alone in its family


def test_an_interval_clear_of_zero_is_explained_where_correction_makes_it_inconclusive() -> None:
    def faint(style: str, content: str, norm: str, **rest: Any) -> float:
        # Mean 0.062, deviation 0.048 over six styles: t = 0.062 / 0.0194 = 3.2, p = 0.025.
        own = (0.10, 0.03, 0.12, 0.02, 0.09, 0.01)[int(style[1])]
        return 0.4 + wobble(content, style) - (own if norm == "instance" else 0)

    results = cells(faint, norm=["batch", "instance"])
    results["ssim"] = results["style_loss"]
    claim = replace(NORM, metric="ssim", smallest=0.02)
    alone = only(evaluate_claims(results, [claim], {}))
    assert alone.p < 0.05
    assert alone.verdict.startswith("supported")
    corrected = evaluate_claims(results, [replace(claim, id=f"F{i}") for i in range(9)], {})
    assert {row.verdict for row in corrected} == {"inconclusive"}
    assert corrected[0].notes == ("inconclusive after correction of p",)


def test_secondary_metrics_predict_an_equally_good_sign() -> None:
    results = cells(loss, norm=["batch", "instance"])
    for predicts, other in (("lower", "higher"), ("higher", "lower"), ("none", "none")):
        claim = replace(NORM, predicts=predicts, also=("ssim",))  # type: ignore[arg-type]
        assert evaluate_claims(results, [claim], {})[1].predicted_sign == other


def test_a_failed_control_is_noted_on_every_row() -> None:
    results = cells(loss, norm=["batch", "instance"])
    null = replace(NORM, id="Z1", control="null", predicts="none")
    missed = replace(NORM, id="Z2", control="effect", predicts="higher")
    rows = evaluate_claims(results, [NORM, null, missed], {})
    assert rows[0].notes == (
        "the control Z1 found a difference where there is none",
        "the control Z2 missed the known effect",
    )
    assert rows[1].notes == rows[2].notes == ()


def test_a_control_is_judged_by_its_own_metric_alone() -> None:
    results = cells(loss, norm=["batch", "instance"])
    null = replace(
        NORM, id="Z1", metric="ssim", also=("style_loss",), control="null", predicts="none"
    )
    rows = evaluate_claims(results, [NORM, null], {})
    assert [row.verdict for row in rows] == ["supported", "equivalent", "contradicted"]
    assert rows[0].notes == ()


def test_an_exact_repetition_is_equivalent() -> None:
    results = cells(loss, seed=[0, 1])
    null = replace(NORM, factor="seed", levels=(0, 1), predicts="none", control="null")
    row = only(evaluate_claims(results, [null], {}))
    assert (row.estimate, row.ci_lo, row.ci_hi, row.p) == (1, 1, 1, 1)
    assert row.verdict == "equivalent"


def test_variants_are_compared_with_the_first_by_default() -> None:
    results = cells(loss, norm=["batch", "instance"])
    made = compared(results, ["ssim"])
    assert [claim.levels for claim in made] == [("net[batch]", "net[instance]")]
    (reversed_,) = compared(results, ["ssim"], baseline="net[instance]")
    assert reversed_.levels == ("net[instance]", "net[batch]")
    assert reversed_.predicts == "higher"  # a comparison asks whether the level is better
    row = only(evaluate_claims(results, made, {}, exploratory=True))
    assert row.verdict == "equivalent"
    assert not row.primary


def test_a_factor_is_compared_level_by_level() -> None:
    made = compared(factorial(), ["ssim"], by="tv")
    assert [(claim.method, claim.levels) for claim in made] == [("net", ("0.0", "5.0"))]
    assert only(evaluate_claims(factorial(), made, {})).estimate == pytest.approx(0.12)


def test_seeds_can_be_compared() -> None:
    results = cells(loss, seed=[0, 1])
    (claim,) = compared(results, ["style_loss"], by="seed")
    assert only(evaluate_claims(results, [claim], {})).verdict == "equivalent"


def test_the_factor_that_varies_most_has_the_largest_share() -> None:
    def by_style(style: str, content: str, norm: str, **rest: Any) -> float:
        return 10 ** int(style[1]) * (1 + wobble(style, content)) * (2 if norm == "batch" else 1)

    results = cells(by_style, norm=["batch", "instance"])
    results.loc[results["style"] == "s3", "status"] = "failed"  # drops out, the rest stands
    found = shares(results, ["style_loss", "objective"])
    assert list(found.index) == ["style_loss"]
    row = found.loc["style_loss"]
    assert row.sum() == pytest.approx(1)
    # log 10^k over five of six styles against log 2 over two variants.
    assert row["style"] > 0.9
    assert row["variant"] > row["residual"]


def test_errors_of_comparisons_list_the_valid_choices() -> None:
    with pytest.raises(
        UsageError, match=r"--by nrom: no method varies it\. Choose from norm, tv\. Did you mean"
    ):
        compared(factorial(), ["ssim"], by="nrom")
    with pytest.raises(UsageError, match=r"--baseline 7: not a tv\. Choose from 0\.0, 5\.0"):
        compared(factorial(), ["ssim"], by="tv", baseline="7")


def test_every_format_has_every_row() -> None:
    rows = evaluate_claims(
        cells(loss, norm=["batch", "instance"]), [replace(NORM, also=("ssim",))], {}
    )
    read = list(csv.DictReader(io.StringIO(FORMATS["csv"](rows))))
    assert [float(r["estimate"]) for r in read] == [r.estimate for r in rows]
    assert [r["verdict"] for r in json.loads(FORMATS["json"](rows))] == [r.verdict for r in rows]
    assert FORMATS["markdown"](rows).count("| F1 | norm: batch → instance |") == 2
    assert r"norm: batch $\to$ instance & style\_loss" in FORMATS["latex"](rows)
    assert "conditions: 256 px, vgg19, float32, cpu, 100 passes or steps" in FORMATS["markdown"](
        rows
    )


def test_every_metric_has_a_kind_of_effect_and_a_smallest_one() -> None:
    for name in METRICS:
        what = quantities.measure(name)
        assert what.effect in {"difference", "ratio"}
        assert what.smallest > (1 if what.effect == "ratio" else 0)
    assert quantities.measure("lpips_alex").smallest == quantities.measure("lpips").smallest
    assert not quantities.known("lpipz")


SUITE = """\
version: 1
name: claims
encoder: random
contents: {coffee: {builtin: coffee}}
styles: {bricks: {builtin: brick}}
methods:
  johnson: {axes: {norm: [instance, batch]}}
claims:
  F1: {statement: s, method: johnson, factor: norm, levels: [batch, instance],
       metric: style_loss, predicts: lower}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("factor: norm", "factor: nrom", "claims.F1.factor: 'nrom' is not a parameter of johnson:"),
        ("method: johnson", "method: jonson", "'jonson' is not one of the methods: johnson."),
        ("metric: style_loss", "metric: style_los", "'style_los' is not a metric or a cost:"),
        ("predicts: lower", "predicts: lower, smallest: 0.9", "0.9 is not a ratio above 1"),
        ("predicts: lower", "predicts: less", "'less' is not one of lower, higher, none."),
        ("[batch, instance]", "[batch]", "claims.F1.levels: ['batch']"),
    ],
)
def test_a_mistake_in_a_claim_is_reported_with_its_place(
    write_suite: Callable[[str], Path], old: str, new: str, message: str
) -> None:
    head, claims = SUITE.split("claims:\n")
    path = write_suite(f"{head}claims:\n{claims.replace(old, new)}")
    with pytest.raises(SuiteError) as caught:
        suite.load(path)
    assert message in str(caught.value)


def load_claims(text: str, write_suite: Callable[[str], Path]) -> Mapping[str, Any]:
    return {claim.id: claim for claim in suite.load(write_suite(text)).claims}


def test_a_claim_is_loaded_as_written(write_suite: Callable[[str], Path]) -> None:
    claim = load_claims(SUITE, write_suite)["F1"]
    assert claim == Claim(
        id="F1", statement="s", factor="norm", levels=("batch", "instance"), method="johnson",
        metric="style_loss", predicts="lower",
    )  # fmt: skip
