"""Metrics with a network of their own: its selection, its limits and its features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import interpolate

from harness import encoders
from harness.encoders.architectures import ARCHITECTURES, stages
from harness.execution.scoring import blank_score
from harness.metrics._gram import distance, grams
from harness.metrics._minimum_size import MIN_EDGE
from harness.protocols import Unavailable
from harness.registry import METRICS
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore
from tests.helpers.distortions import Measure


def test_content_distance_is_0_for_the_content_and_1_for_the_style(
    measure: Measure, photograph: Any
) -> None:
    content, style = photograph("coffee", 64), photograph("chelsea", 64)
    resized_style = interpolate(style, content.shape[-2:], mode="bilinear", antialias=True)
    assert measure("content_distance", content, content, style) == 0
    assert measure("content_distance", resized_style, content, style) == pytest.approx(1)


def test_gram_matrices_equal_those_of_plain_loops(photograph: Any, random_encoder: Any) -> None:
    """Three pairs of channels of the suite's encoder are sufficient."""
    image = photograph("coffee", 32)
    (matrix,) = grams(image, random_encoder, ("relu2_1",))
    features = random_encoder(image, ["relu2_1"])["relu2_1"][0].double().numpy()
    positions = [(y, x) for y in range(features.shape[1]) for x in range(features.shape[2])]
    for i, j in ((0, 0), (0, 3), (7, 2)):
        products = [features[i, y, x] * features[j, y, x] for y, x in positions]
        expected = sum(products) / len(products)
        assert float(matrix[0, i, j]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_gram_distance_is_relative_to_both_images_and_at_most_one(
    measure: Measure, photograph: Any
) -> None:
    one, other = torch.tensor([[3.0, 0], [0, 0]]), torch.tensor([[1.0, 0], [0, 0]])
    assert distance(one, other) == pytest.approx((3 - 1) ** 2 / (3**2 + 1**2))
    assert distance(one, torch.tensor([[0.0, 0], [0, 5]])) == 1
    content, style = photograph("coffee", 64), photograph("chelsea", 80)  # different sizes
    assert 0 < measure("gram_distance", content, content, style) < 1


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> WeightsStore:
    """A store with a file in the format of torchvision's squeezenet1_1, with random numbers."""
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path: Path = tmp_path_factory.mktemp("judge") / "squeezenet.safetensors"
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    return WeightsStore(Network(offline=True), {"squeezenet1_1": path})


@pytest.mark.parametrize("name", ["gram_distance", "content_distance"])
def test_a_metric_uses_the_encoder_of_the_suite_only_without_another_network(
    name: str, squeezenet: WeightsStore, no_weights: WeightsStore
) -> None:
    metric = METRICS.build(name, {})
    compact = encoders.find("compact", no_weights)[0]
    random = encoders.find("random:3", no_weights)[0]
    own = encoders.find("squeezenet1_1", squeezenet)[0]

    held_out = metric.resolve(compact, squeezenet)
    assert (held_out.lens, held_out.lens_sha256) == ("squeezenet1_1", own.sha256)
    other_seed = metric.resolve(random, squeezenet)
    assert other_seed.lens == "random:4"
    assert other_seed.lens_sha256 != random.sha256
    circular = metric.resolve(own, squeezenet)  # there is no second network
    assert circular.lens == "encoder"
    assert blank_score(circular, own).lens == "squeezenet1_1"


def test_a_requested_judge_is_used_or_reported_as_missing(
    no_weights: WeightsStore, context: Any, measure: Measure, photograph: Any
) -> None:
    compact = encoders.find("compact", no_weights)[0]
    metric = METRICS.build("gram_distance", {"judge": "alexnet"}).resolve(compact, no_weights)
    assert metric.lens == "alexnet"
    assert "alexnet" in blank_score(metric, compact).why_missing
    image, style = photograph("coffee", 64), photograph("chelsea", 64)
    with pytest.raises(Unavailable, match="alexnet"):
        metric(image, image, style, context())
    seven, eight = (
        measure("gram_distance", image, image, style, judge=f"random:{s}") for s in "78"
    )
    assert seven != eight


def test_an_image_below_the_minimum_edge_has_no_score(
    squeezenet: WeightsStore, no_weights: WeightsStore, context: Any
) -> None:
    compact = encoders.find("compact", no_weights)[0]
    metric = METRICS.build("gram_distance", {}).resolve(compact, squeezenet)
    image = torch.rand(1, 3, 16, 64)
    with pytest.raises(Unavailable, match="17 x 17"):
        metric(image, image, image, context())


@pytest.mark.parametrize("name", MIN_EDGE)
def test_torch_fails_below_the_minimum_edge_and_not_at_it(name: str) -> None:
    """The meta device computes shapes only."""

    def compute_canonical_features(edge: int) -> None:
        network = ARCHITECTURES[name].build().eval()
        style, content = encoders.STYLE_LAYERS[name], encoders.CONTENT_LAYERS[name]
        remaining = {*style, content[0]}
        features = torch.empty(1, 3, edge, 128, device="meta")
        for layer, _, module in stages(name, network):
            features = module(features)
            remaining.discard(layer)
            if not remaining:
                return

    compute_canonical_features(MIN_EDGE[name])
    with pytest.raises(RuntimeError):
        compute_canonical_features(MIN_EDGE[name] - 1)
