"""What every registered metric keeps to."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from harness import encoders
from harness.protocols import Unavailable
from harness.registry import METRICS
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore


@pytest.fixture(params=METRICS.names())
def metric(request: pytest.FixtureRequest) -> Any:
    shelf = WeightsStore(Network(offline=True), {})
    made = METRICS.build(request.param, {})
    use = encoders.find("random", shelf)[0]
    return made.resolve(use, shelf)


def test_it_says_what_its_numbers_are(metric: Any) -> None:
    assert isinstance(metric.version, int)
    assert isinstance(metric.unit, str)
    assert metric.better in {"lower", "higher", "neither"}
    assert metric.lens
    text = importlib.import_module(type(metric).__module__).__doc__ or ""
    assert "Source:" in text
    assert "Blind to:" in text


def test_it_says_how_variants_compare_and_what_difference_matters(metric: Any) -> None:
    assert metric.effect in {"difference", "ratio"}
    assert metric.smallest > (1 if metric.effect == "ratio" else 0)


def test_it_gives_a_finite_number_or_a_reason_and_touches_nothing(
    metric: Any, photograph: Any, context: Any
) -> None:
    images = [photograph(name, 64) for name in ("coffee", "coffee", "chelsea")]
    images[0] = (images[0] * 0.8).clamp(0, 1)
    before = [image.clone() for image in images]
    try:
        value = metric(*images, context())
    except Unavailable as reason:
        assert str(reason)  # noqa: PT017 - either outcome keeps the contract
    else:
        assert isinstance(value, float)
        assert abs(value) < float("inf")
        assert metric(*images, context()) == value
    assert all(torch.equal(now, then) for now, then in zip(images, before, strict=True))


def test_none_of_ours_is_left_out() -> None:
    assert METRICS.names()
    assert [fault for fault in METRICS.faults if not fault.package] == []
