"""Numbers keep their kind in tables, whatever else is missing or skipped."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from harness.analysis import table
from harness.analysis.claims import compared, evaluate_claims
from harness.analysis.claims.export import comma_separated, footnotes
from harness.records import Skip
from tests.helpers.claim_results import NORM_CLAIM, loss, make_results

SKIPPED = table.rows([], [Skip("net/c1--s1/s0", "net", "c1--s1", "no such file")])


def with_skipped(results: pd.DataFrame) -> pd.DataFrame:
    """Return results as `table.frame` makes them, with a skipped cell."""
    return table.frame([*results.to_dict("records"), *SKIPPED])


def test_integers_stay_integers_beside_a_skipped_cell() -> None:
    seed = 2**53 + 1  # not a float
    cells = [{"size": 64, "seed": seed, "ssim": 1.0, "lpips": None, "anchor": True}, *SKIPPED]
    frame = table.frame(cells)
    assert frame["size"].tolist()[0] == 64
    assert type(frame["size"].tolist()[0]) is int
    assert frame["seed"].tolist()[0] == seed
    assert frame["ssim"].dtype == float
    assert frame["anchor"].tolist()[0] is True
    assert frame["lpips"].isna().all()


@pytest.mark.parametrize("seed", [2**63, 2**64])
def test_integers_of_any_size_are_kept(seed: int) -> None:
    assert table.frame([{"seed": seed}, *SKIPPED])["seed"].tolist()[0] == seed


def test_a_verdict_is_the_same_beside_a_skipped_cell() -> None:
    results = make_results(loss, norm=["batch", "instance"])
    alone, beside = (
        evaluate_claims(frame, [NORM_CLAIM], {}) for frame in (results, with_skipped(results))
    )
    assert beside == alone
    assert footnotes(beside)[0] == ("conditions: 256 px, vgg19, float32, cpu, 100 passes or steps")


def test_sizes_and_budgets_of_claims_are_integers_in_every_format() -> None:
    results = with_skipped(make_results(loss, norm=["batch", "instance"]))
    results.loc[results["variant"] == "net[batch]", "passes"] = None
    results["passes"] = results["passes"].fillna(2_000_000)
    (row,) = evaluate_claims(results, [NORM_CLAIM], {})
    conditions: dict[str, Any] = json.loads(json.dumps(dict(row.conditions)))
    assert json.dumps(conditions["size"]) == "256"
    assert '"size"": 256,' in comma_separated([row])
    assert row.notes[-1] == "unequal budgets: 2000000 and 100 passes"


def test_seeds_are_compared_by_their_integers_beside_a_skipped_cell() -> None:
    results = with_skipped(make_results(loss, seed=[0, 1]))
    (claim,) = compared(results, ["style_loss"], by="seed")
    assert claim.levels == ("0", "1")
    (row,) = evaluate_claims(results, [claim], {})
    assert row.verdict == "equivalent"
