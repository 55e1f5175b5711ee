"""Claims in a suite file, and the messages for invalid ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import suite
from harness.errors import SuiteError
from harness.records import Claim

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
def test_an_invalid_claim_is_reported_with_its_position(
    write_suite: Callable[[str], Path], old: str, new: str, message: str
) -> None:
    head, claims = SUITE.split("claims:\n")
    path = write_suite(f"{head}claims:\n{claims.replace(old, new)}")
    with pytest.raises(SuiteError) as caught:
        suite.load(path)
    assert message in str(caught.value)


def test_a_claim_is_loaded_with_its_values(write_suite: Callable[[str], Path]) -> None:
    (claim,) = suite.load(write_suite(SUITE)).claims
    assert claim == Claim(
        id="F1", statement="s", factor="norm", levels=("batch", "instance"), method="johnson",
        metric="style_loss", predicts="lower",
    )  # fmt: skip
