"""Exploratory comparisons, variance shares and the export of rows."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from harness.analysis.claims import compared, evaluate_claims, shares
from harness.analysis.claims.export import FORMATS
from harness.errors import UsageError
from harness.registry import METRICS, quantities
from tests.helpers.claim_results import (
    NORM_CLAIM,
    deviation,
    evaluate_one,
    factorial_results,
    loss,
    make_results,
)


def test_variants_are_compared_with_the_first_by_default() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    (claim,) = compared(results, ["ssim"])
    assert claim.levels == ("net[batch]", "net[instance]")
    (reversed_,) = compared(results, ["ssim"], baseline="net[instance]")
    assert reversed_.levels == ("net[instance]", "net[batch]")
    assert reversed_.predicts == "higher"  # a comparison tests whether the second level is better
    row = evaluate_one(results, claim, exploratory=True)
    assert row.verdict == "equivalent"
    assert not row.primary


def test_the_levels_of_a_factor_are_compared() -> None:
    (claim,) = compared(factorial_results(), ["ssim"], by="tv")
    assert (claim.method, claim.levels) == ("net", ("0.0", "5.0"))
    assert evaluate_one(factorial_results(), claim).estimate == pytest.approx(0.12)


def _style_sizes(sizes: list[int], own: list[float]) -> pd.DataFrame:
    """Results whose style loss is a hundredth of the style size; NaN is the content's size."""

    def value(style: str, content: str, size: int, style_size: float, **rest: Any) -> float:
        used = size if math.isnan(style_size) else style_size
        return 0.01 * used * (1 + deviation(style, content) / 100)

    results = make_results(value, size=sizes, style_size=own)
    results["style_size"] = results.pop("param.style_size").astype(float)
    return results


def test_the_content_size_is_a_level_of_the_style_size() -> None:
    results = _style_sizes([256], [math.nan, 512])
    (claim,) = compared(results, ["style_loss"], by="style_size")
    assert claim.levels == ("256", "512")
    for levels in (claim.levels, (None, 512), (256, 512)):
        row = evaluate_one(results, replace(claim, levels=levels))
        assert row.estimate == pytest.approx(2)  # a ratio


def test_cells_of_two_sizes_are_paired_at_the_same_style_size() -> None:
    results = _style_sizes([128, 256], [math.nan, 512])
    claim = replace(NORM_CLAIM, factor="size", levels=(128, 256))
    # Ratio 2 where the style has the content's size, and 1 at 512: the geometric mean.
    assert evaluate_one(results, claim).estimate == pytest.approx(2**0.5, rel=1e-3)
    fixed = replace(claim, where={"style_size": 512})
    assert evaluate_one(results, fixed).estimate == pytest.approx(1)


def test_a_style_size_that_follows_the_content_is_no_factor() -> None:
    with pytest.raises(UsageError, match="no method of the suite varies a parameter"):
        compared(_style_sizes([128, 256], [math.nan]), ["style_loss"], by="style_size")


def test_seeds_can_be_compared() -> None:
    results = make_results(loss, seed=[0, 1])
    (claim,) = compared(results, ["style_loss"], by="seed")
    assert evaluate_one(results, claim).verdict == "equivalent"


def test_the_factor_that_varies_most_has_the_largest_share() -> None:
    def by_style(style: str, content: str, norm: str, **rest: Any) -> float:
        return 10 ** int(style[1]) * (1 + deviation(style, content)) * (2 if norm == "batch" else 1)

    results = make_results(by_style, norm=["batch", "instance"])
    results.loc[results["style"] == "s3", "status"] = "failed"  # the other styles remain
    table = shares(results, ["style_loss", "objective"])
    assert list(table.index) == ["style_loss"]
    row = table.loc["style_loss"]
    assert row.sum() == pytest.approx(1)
    # log 10^k over five of six styles, compared with log 2 over two variants
    assert row["style"] > 0.9
    assert row["variant"] > row["residual"]


def test_errors_of_comparisons_list_the_valid_choices() -> None:
    with pytest.raises(
        UsageError, match=r"--by nrom: no method varies it\. Choose from norm, tv\. Did you mean"
    ):
        compared(factorial_results(), ["ssim"], by="nrom")
    with pytest.raises(UsageError, match=r"--baseline 7: not a tv\. Choose from 0\.0, 5\.0"):
        compared(factorial_results(), ["ssim"], by="tv", baseline="7")


def test_every_export_format_contains_all_rows() -> None:
    rows = evaluate_claims(
        make_results(loss, norm=["batch", "instance"]), [replace(NORM_CLAIM, also=("ssim",))], {}
    )
    csv_rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](rows))))
    assert [float(r["estimate"]) for r in csv_rows] == [r.estimate for r in rows]
    assert [r["verdict"] for r in json.loads(FORMATS["json"](rows))] == [r.verdict for r in rows]
    assert FORMATS["markdown"](rows).count("| F1 | norm: batch → instance |") == 2
    assert r"norm: batch $\to$ instance & style\_loss" in FORMATS["latex"](rows)
    assert "conditions: 256 px, vgg19, float32, cpu, 100 passes or steps" in FORMATS["markdown"](
        rows
    )


def test_every_metric_has_a_kind_of_effect_and_a_smallest_effect_of_interest() -> None:
    for name in METRICS:
        measure = quantities.measure(name)
        assert measure.effect in {"difference", "ratio"}
        assert measure.smallest > (1 if measure.effect == "ratio" else 0)
    assert quantities.measure("lpips_alex").smallest == quantities.measure("lpips").smallest
    assert not quantities.known("lpipz")
