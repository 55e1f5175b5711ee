"""Definitions and settings of scores, compared with formulas and other implementations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from harness.metrics.content_loss import ContentLoss
from harness.metrics.lpips import TRUNKS, Lpips
from harness.metrics.ssim import Ssim, luma
from harness.metrics.style_loss import StyleLoss
from harness.protocols import Unavailable
from harness.records import EncoderUse
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore


def test_luma_is_the_weighted_sum_of_bt_601() -> None:
    image = torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)
    assert luma(image)[0, 0] == pytest.approx(0.299 + 0.587 * 0.5 + 0.114 * 0.25)


def ssim_of_wang_2004(one: np.ndarray, other: np.ndarray) -> float:
    """Compute SSIM with a Gaussian window (sigma 1.5, radius 5) and population covariance."""

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, truncate=3.5)  # radius int(3.5 * 1.5 + 0.5) = 5

    mean1, mean2 = blur(one), blur(other)
    var1, var2 = blur(one**2) - mean1**2, blur(other**2) - mean2**2
    covariance = blur(one * other) - mean1 * mean2
    c1, c2 = 0.01**2, 0.03**2
    index = (2 * mean1 * mean2 + c1) * (2 * covariance + c2)
    index /= (mean1**2 + mean2**2 + c1) * (var1 + var2 + c2)
    return float(index[5:-5, 5:-5].mean())


def test_ssim_equals_the_formula_of_wang_2004(photograph: Any, context: Any) -> None:
    content, stylized = photograph("coffee", 96), photograph("coffee", 96).flip(-1)
    expected = ssim_of_wang_2004(luma(stylized), luma(content))
    assert Ssim()(stylized, content, content, context()) == pytest.approx(expected, abs=1e-6)


def test_images_smaller_than_the_window_have_no_ssim(context: Any) -> None:
    small = torch.rand(1, 3, 10, 64)
    with pytest.raises(Unavailable, match="11 x 11"):
        Ssim()(small, small, small, context())


def test_losses_of_the_content_and_the_style_image_are_0_and_1(
    photograph: Any, context: Any, random_judge: EncoderUse, no_weights: WeightsStore
) -> None:
    content, style = photograph("coffee", 64), photograph("chelsea", 64)
    resized_style = torch.nn.functional.interpolate(
        style, content.shape[-2:], mode="bilinear", antialias=True
    )
    content_loss = ContentLoss().resolve(random_judge, no_weights)
    style_loss = StyleLoss().resolve(random_judge, no_weights)
    assert content_loss(content, content, style, context()) == 0
    assert content_loss(resized_style, content, style, context()) == pytest.approx(1)
    assert style_loss(content, content, style, context()) == pytest.approx(1)
    assert style_loss(style, content, style, context()) == 0


def test_losses_are_undefined_if_content_and_style_are_the_same(
    photograph: Any, context: Any, random_judge: EncoderUse, no_weights: WeightsStore
) -> None:
    same = photograph("coffee", 64)
    for metric in (ContentLoss(), StyleLoss()):
        with pytest.raises(Unavailable):
            metric.resolve(random_judge, no_weights)(same, same, same, context())


def test_lpips_without_a_trunk_has_no_score(
    random_judge: EncoderUse, no_weights: WeightsStore, context: Any
) -> None:
    metric = Lpips().resolve(random_judge, no_weights)
    assert metric.net == "auto"
    assert "alexnet" in metric.missing
    with pytest.raises(Unavailable, match="no trunk with ImageNet weights"):
        metric(
            torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), context()
        )


@pytest.fixture(scope="module")
def squeeze_trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the convolutions of torchvision's squeezenet1_1, with random numbers."""
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = torchvision.models.squeezenet1_1(weights=None)
    path = tmp_path_factory.mktemp("trunk") / "squeezenet.safetensors"
    save_file({k: v for k, v in network.state_dict().items() if k.startswith("features")}, path)
    return path


def test_lpips_is_named_after_the_first_available_trunk(
    squeeze_trunk: Path, random_judge: EncoderUse
) -> None:
    weights = WeightsStore(Network(offline=True), {"squeezenet1_1": squeeze_trunk})
    metric = Lpips().resolve(random_judge, weights)
    assert (metric.net, metric.score_name, metric.lens) == (
        "squeeze",
        "lpips_squeeze",
        "squeezenet1_1",
    )


def test_lpips_equals_the_package_with_the_same_trunk_on_images_in_minus_one_to_one(
    squeeze_trunk: Path,
    random_judge: EncoderUse,
    context: Any,
    photograph: Callable[..., torch.Tensor],
) -> None:
    import warnings

    import lpips
    from safetensors.torch import load_file

    weights = WeightsStore(Network(offline=True), {"squeezenet1_1": squeeze_trunk})
    metric = Lpips().resolve(random_judge, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).eval()
    features = {k.removeprefix("features."): v for k, v in load_file(squeeze_trunk).items()}
    for part in reference.net.children():
        indices = dict(part.named_children())
        part.load_state_dict({k: v for k, v in features.items() if k.split(".")[0] in indices})
    one, other = photograph("coffee", 96), photograph("coffee", 96).flip(-1)
    with torch.no_grad():
        expected = float(reference(one, other, normalize=True))  # converts from [0, 1] itself
    assert metric(one, other, one, context()) == pytest.approx(expected, rel=1e-4)
    assert metric(one, one, one, context()) == 0


def test_the_vgg_trunk_which_methods_minimize_is_the_last_choice() -> None:
    assert list(TRUNKS) == ["alex", "squeeze", "vgg"]
