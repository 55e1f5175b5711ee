"""Definitions and settings of the scores, against values worked out here or by other code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from harness import encoders
from harness.metrics.content_loss import ContentLoss
from harness.metrics.lpips import TRUNKS, Lpips
from harness.metrics.ssim import Ssim, luma
from harness.metrics.style_loss import StyleLoss
from harness.protocols import Unavailable
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore


@pytest.fixture(scope="module")
def use() -> Any:
    return encoders.find("random", WeightsStore(Network(offline=True), {}))[0]


def test_luma_is_the_weighted_sum_of_bt_601() -> None:
    image = torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)
    assert luma(image)[0, 0] == pytest.approx(0.299 + 0.587 * 0.5 + 0.114 * 0.25)


def wang_2004(one: np.ndarray, other: np.ndarray) -> float:
    """SSIM written out: Gaussian sigma 1.5 cut at 5 pixels, population covariance, C1 and C2."""

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, truncate=3.5)  # radius int(3.5 * 1.5 + 0.5) = 5

    mean1, mean2 = blur(one), blur(other)
    var1, var2 = blur(one**2) - mean1**2, blur(other**2) - mean2**2
    covariance = blur(one * other) - mean1 * mean2
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    index /= (mean1**2 + mean2**2 + c1) * (var1 + var2 + c2)
    return float(index[5:-5, 5:-5].mean())


def test_ssim_is_that_of_wang_2004(photograph: Any, context: Any) -> None:
    content, stylized = photograph("coffee", 96), photograph("coffee", 96).flip(-1)
    expected = wang_2004(luma(stylized), luma(content))
    assert Ssim()(stylized, content, content, context()) == pytest.approx(expected, abs=1e-6)


def test_ssim_needs_its_window(context: Any) -> None:
    small = torch.rand(1, 3, 10, 64)
    with pytest.raises(Unavailable, match="11 x 11"):
        Ssim()(small, small, small, context())


def test_the_anchors_fix_both_scales(photograph: Any, context: Any, use: Any) -> None:
    content, style = photograph("coffee", 64), photograph("chelsea", 64)
    shown = torch.nn.functional.interpolate(
        style, content.shape[-2:], mode="bilinear", antialias=True
    )
    shelf = WeightsStore(Network(offline=True), {})
    content_loss, style_loss = ContentLoss().resolve(use, shelf), StyleLoss().resolve(use, shelf)
    assert content_loss(content, content, style, context()) == 0
    assert content_loss(shown, content, style, context()) == pytest.approx(1)
    assert style_loss(content, content, style, context()) == pytest.approx(1)
    assert style_loss(style, content, style, context()) == 0


def test_scores_that_cannot_be_had_say_so(photograph: Any, context: Any, use: Any) -> None:
    same = photograph("coffee", 64)
    shelf = WeightsStore(Network(offline=True), {})
    for metric in (ContentLoss().resolve(use, shelf), StyleLoss().resolve(use, shelf)):
        with pytest.raises(Unavailable):
            metric(same, same, same, context())


def test_lpips_without_a_trunk_is_never_a_number(use: Any, context: Any) -> None:
    metric = Lpips().resolve(use, WeightsStore(Network(offline=True), {}))
    assert metric.net == "auto"
    assert "alexnet" in metric.missing
    with pytest.raises(Unavailable, match="no trunk with ImageNet weights"):
        metric(
            torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), context()
        )


@pytest.fixture(scope="module")
def squeeze_trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file shaped like torchvision's squeezenet1_1, with random numbers."""
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(weights=None)
    path = tmp_path_factory.mktemp("trunk") / "squeezenet.safetensors"
    save_file({k: v for k, v in network.state_dict().items() if k.startswith("features")}, path)
    return path


def test_lpips_takes_the_trunk_that_is_there_and_is_named_after_it(
    squeeze_trunk: Path, use: Any
) -> None:
    shelf = WeightsStore(Network(offline=True), {"squeezenet1_1": squeeze_trunk})
    metric = Lpips().resolve(use, shelf)
    assert (metric.net, metric.score_name, metric.lens) == (
        "squeeze",
        "lpips_squeeze",
        "squeezenet1_1",
    )


def test_lpips_fills_the_trunk_and_looks_at_minus_one_to_one(
    squeeze_trunk: Path, use: Any, context: Any, photograph: Callable[..., torch.Tensor]
) -> None:
    import warnings

    import lpips
    from safetensors.torch import load_file

    metric = Lpips().resolve(
        use, WeightsStore(Network(offline=True), {"squeezenet1_1": squeeze_trunk})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()
    features = {k.removeprefix("features."): v for k, v in load_file(squeeze_trunk).items()}
    for slice_ in reference.net.children():
        own = {
            k: v for k, v in features.items() if k.split(".")[0] in dict(slice_.named_children())
        }
        slice_.load_state_dict(own)
    one, other = photograph("coffee", 96), photograph("coffee", 96).flip(-1)
    with torch.no_grad():
        expected = float(reference(one, other, normalize=True))  # its own way from [0, 1]
    assert metric(one, other, one, context()) == pytest.approx(expected, rel=1e-4)
    assert metric(one, one, one, context()) == 0


def test_the_judge_by_vgg_comes_last_since_it_judges_its_own() -> None:
    assert list(TRUNKS) == ["alex", "squeeze", "vgg"]
