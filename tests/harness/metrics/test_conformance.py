"""Rules for every registered metric."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from harness.protocols import Unavailable
from harness.records import EncoderUse
from harness.registry import METRICS
from harness.resources.weights import WeightsStore


@pytest.fixture(params=METRICS.names())
def metric(
    request: pytest.FixtureRequest, no_weights: WeightsStore, random_judge: EncoderUse
) -> Any:
    return METRICS.build(request.param, {}).resolve(random_judge, no_weights)


def test_it_describes_its_scores_and_documents_source_and_blind_spots(metric: Any) -> None:
    assert isinstance(metric.version, int)
    assert isinstance(metric.unit, str)
    assert metric.better in {"lower", "higher", "neither"}
    assert metric.lens
    text = importlib.import_module(type(metric).__module__).__doc__ or ""
    assert "Source:" in text
    assert "Blind to:" in text


def test_it_has_a_kind_of_effect_and_a_smallest_effect_of_interest(metric: Any) -> None:
    assert metric.effect in {"difference", "ratio"}
    assert metric.smallest > (1 if metric.effect == "ratio" else 0)


def test_its_score_is_finite_or_has_a_reason_and_the_images_stay_unchanged(
    metric: Any, photograph: Any, context: Any
) -> None:
    images = [photograph(name, 64) for name in ("coffee", "coffee", "chelsea")]
    images[0] = (images[0] * 0.8).clamp(0, 1)
    before = [image.clone() for image in images]
    try:
        value = metric(*images, context())
    except Unavailable as reason:
        assert str(reason)  # noqa: PT017 - both outcomes are valid
    else:
        assert isinstance(value, float)
        assert abs(value) < float("inf")
        assert metric(*images, context()) == value
    assert all(torch.equal(*pair) for pair in zip(images, before, strict=True))


def test_all_metrics_of_the_project_are_registered() -> None:
    assert METRICS.names()
    assert [fault for fault in METRICS.faults if not fault.package] == []
