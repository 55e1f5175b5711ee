"""Fixtures that compute scores by the name of the metric."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness import encoders
from harness.records import EncoderUse
from harness.registry import METRICS
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore
from tests.helpers.distortions import Measure

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left")


@pytest.fixture(scope="module")
def no_weights() -> WeightsStore:
    """A store that finds no weights file."""
    return WeightsStore(Network(offline=True), {})


@pytest.fixture(scope="module")
def random_judge(no_weights: WeightsStore) -> EncoderUse:
    return encoders.find("random", no_weights)[0]


@pytest.fixture
def measure(no_weights: WeightsStore, random_judge: EncoderUse, context: Any) -> Measure:
    """Compute a score by its name; the content is `stylized`, and the style is the content."""

    def compute(
        name: str, stylized: Any, content: Any = None, style: Any = None, **params: Any
    ) -> float:
        metric = METRICS.build(name, params).resolve(random_judge, no_weights)
        content = stylized if content is None else content
        score: float = metric(stylized, content, content if style is None else style, context())
        return score

    return compute


@pytest.fixture(scope="module")
def photographs(photograph: Any) -> list[torch.Tensor]:
    return [photograph(name, 256) for name in PHOTOGRAPHS]
