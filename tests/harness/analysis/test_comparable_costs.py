"""Times that were not measured, or that include the start-up of a program, are not compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from harness.analysis import comparable_costs, table
from harness.analysis.claims import ClaimDataset, compared, evaluate_claims
from harness.analysis.claims.variance import shares
from harness.errors import UsageError
from harness.records import Claim, ImageUse, Record, Timing
from tests.helpers.report_page import ENCODER, cell, record

TIMING = Timing(2.0, False, 4.0, 1, 0.1, 5, (9.0, 10.0, 11.0), 512.0, "process")
KINDS: dict[str, Timing | None] = {
    "normal": TIMING,
    "quick": replace(TIMING, stylize_seconds=1.0, peak_mb=256.0),
    "folder": None,
    "command": replace(TIMING, includes_start_up=True),
    "served": replace(TIMING, peak_mb=128.0, peak_of="program"),
    "other-served": replace(TIMING, peak_mb=64.0, peak_of="program"),
    "other-command": replace(TIMING, includes_start_up=True, stylize_seconds=1.0),
}
CONTENTS = [ImageUse(f"c{i}", f"{i + 1}" * 64, "here") for i in range(2)]
STYLES = [ImageUse(f"s{i}", f"{i + 5}" * 64, "here") for i in range(2)]


def records(*variants: str) -> list[Record]:
    return [
        record(cell(variant, content, style=style), ssim=0.1 + 0.2 * i, timing=KINDS[variant])
        for i, variant in enumerate(variants)
        for content in CONTENTS
        for style in STYLES
    ]


def frame(*variants: str) -> pd.DataFrame:
    return table.frame(table.rows(records(*variants)))


def claim(metric: str, *levels: str) -> Claim:
    first, second = levels
    return Claim("T", "It is quicker.", "variant", (first, second), metric, "lower")


def test_results_have_no_time_of_images_that_were_made_before_and_say_what_a_time_contains() -> (
    None
):
    rows = frame("normal", "folder", "command").groupby("variant").first()
    assert rows["timed"].to_dict() == {
        "normal": "stylization", "folder": "nothing", "command": "stylization and start-up",
    }  # fmt: skip
    assert rows.loc["folder", ["stylize_seconds", "fit_seconds", "peak_mb"]].isna().all()
    (failed,) = table.rows([replace(records("folder")[0], status="failed")])
    assert failed["timed"] is None


@pytest.mark.parametrize("metric", ["stylize_seconds", "fit_seconds", "pass_ms", "peak_mb"])
def test_a_claim_about_a_cost_that_was_not_measured_is_unavailable(metric: str) -> None:
    for levels in (("normal", "folder"), ("folder", "command")):
        (row,) = evaluate_claims(frame(*levels), [claim(metric, *levels)], {})
        assert (row.verdict, row.notes) == ("unavailable", ("not measured",))
        assert row.estimate is None


def test_a_claim_is_unavailable_if_all_levels_were_made_before() -> None:
    results = frame("folder").assign(variant=lambda of: of["content"].map({"c0": "x", "c1": "y"}))
    (row,) = evaluate_claims(results.assign(content="c0"), [claim("stylize_seconds", "x", "y")], {})
    assert (row.verdict, row.notes) == ("unavailable", ("not measured",))


def test_memory_of_programs_is_compared_with_each_other_only() -> None:
    """That of a method of nstbench includes the harness: 1,060 MB for the identity."""
    mixed = frame("normal", "served")
    (row,) = evaluate_claims(mixed, [claim("peak_mb", "normal", "served")], {})
    assert (row.verdict, row.notes) == ("unavailable", ("of the program alone at one level only",))
    (row,) = evaluate_claims(mixed, [claim("stylize_seconds", "normal", "served")], {})
    assert row.estimate == pytest.approx(1)
    both = frame("served", "other-served")
    (row,) = evaluate_claims(both, [claim("peak_mb", "served", "other-served")], {})
    assert row.estimate == pytest.approx(0.5)
    failed = table.frame(table.rows([replace(records("folder")[0], status="failed")]))
    assert comparable_costs.of_cells(failed, "peak_mb") == ""
    qualifiers = {"normal": "", "served": comparable_costs.OF_PROGRAM}
    assert comparable_costs.ranked(qualifiers) == {"normal"}


def test_times_with_start_up_are_compared_with_each_other_only() -> None:
    mixed = frame("normal", "command")
    (row,) = evaluate_claims(mixed, [claim("stylize_seconds", "normal", "command")], {})
    assert (row.verdict, row.notes) == ("unavailable", ("includes start-up at one level only",))
    (row,) = evaluate_claims(mixed, [claim("peak_mb", "normal", "command")], {})
    assert row.estimate == pytest.approx(1)  # memory does not include a start-up
    both = frame("command", "other-command")
    (row,) = evaluate_claims(both, [claim("stylize_seconds", "command", "other-command")], {})
    assert row.estimate == pytest.approx(1 / 4)


def test_scores_of_such_variants_are_compared() -> None:
    for other in ("folder", "command"):
        (row,) = evaluate_claims(frame("normal", other), [claim("ssim", "normal", other)], {})
        assert row.estimate == pytest.approx(0.2)


def test_shares_of_variance_of_a_time_leave_out_what_is_not_comparable() -> None:
    alone = shares(frame("normal", "quick"), ["stylize_seconds"])
    mixed = shares(frame("normal", "quick", "folder", "command"), ["stylize_seconds"])
    assert alone.loc["stylize_seconds"].equals(mixed.loc["stylize_seconds"])


def test_comparing_by_a_time_that_no_cell_has_says_that_it_was_not_measured() -> None:
    from harness.records import Run

    run = Run("s", "", "", (), (), ("ssim",), ENCODER, "cpu", "float32")
    dataset = ClaimDataset(run, frame("folder"), {})
    with pytest.raises(UsageError, match=r"--metric stylize_seconds: not measured\. Available:"):
        dataset.metrics(["stylize_seconds"])
    mixed = frame("normal", "folder")
    rows = evaluate_claims(mixed, compared(mixed, ["stylize_seconds"]), {}, exploratory=True)
    assert [row.verdict for row in rows] == ["unavailable"]


@pytest.mark.parametrize(
    ("qualifiers", "ranked"),
    [
        ({"a": "", "b": "", "c": "not measured"}, {"a", "b"}),
        ({"a": "", "b": "includes start-up"}, {"a"}),
        ({"a": "includes start-up", "b": "not measured", "c": "includes start-up"}, {"a", "c"}),
        ({"a": "not measured"}, set()),
    ],
)
def test_costs_of_one_kind_are_ranked(qualifiers: dict[str, str], ranked: Any) -> None:
    assert comparable_costs.ranked(qualifiers) == ranked
