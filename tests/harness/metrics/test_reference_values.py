"""Definitions and settings of scores, compared with formulas and other implementations."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter

from harness import encoders
from harness.metrics._minimum_size import MIN_EDGE
from harness.metrics.content_loss import ContentLoss
from harness.metrics.lpips import TRUNKS, Lpips, Net
from harness.metrics.ssim import Ssim, luma
from harness.metrics.style_loss import StyleLoss
from harness.protocols import Unavailable
from harness.records import EncoderUse
from harness.registry import METRICS
from harness.resources import images
from harness.resources.downloads import Network
from harness.resources.images import to_pixels, to_tensor
from harness.resources.weights import WeightsStore

LANCZOS = Pillow.Resampling.LANCZOS


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


def copies(image: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the image as people have it a second time: in other formats, qualities and sizes."""
    picture = Pillow.fromarray(to_pixels(image))
    smaller = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4), LANCZOS)
    pictures = [picture.quantize(256).convert("RGB"), smaller.resize(picture.size, LANCZOS)]
    for name, options in (("JPEG", {"quality": 75}), ("JPEG", {"quality": 95}), ("WEBP", {})):
        buffer = io.BytesIO()
        picture.save(buffer, name, **options)
        pictures.append(Pillow.open(buffer).convert("RGB"))
    yield from (to_tensor(np.asarray(one)) for one in pictures)
    yield image + 1 / 255


@pytest.mark.parametrize("name", ["content_loss", "content_distance", "style_loss"])
def test_a_copy_of_the_content_as_style_gives_no_score_instead_of_a_large_one(
    name: str, photograph: Any, context: Any, no_weights: WeightsStore
) -> None:
    """The loss of another photograph, divided by the difference of two copies, is 20 to 100,000."""
    compact, _ = encoders.find("compact", no_weights)
    metric = METRICS.build(name, {}).resolve(compact, no_weights)
    content, other = photograph("coffee", 96), photograph("chelsea", 96)[..., :64, :]
    assert content.shape == other.shape
    judged = replace(context(), encoder=encoders.load(compact, encoders.compact.WEIGHTS))
    assert metric(other, content, other, judged) < 1.01
    for copy in copies(content):
        with pytest.raises(Unavailable, match="content and style are nearly the same image"):
            metric(other, content, copy, judged)


@pytest.mark.parametrize("name", ["content_loss", "style_loss"])
def test_a_grey_level_of_noise_is_a_small_part_of_every_available_score(
    name: str, photograph: Any, context: Any, no_weights: WeightsStore
) -> None:
    """A flat content and a flat style differ least among pairs that are not copies."""
    compact, _ = encoders.find("compact", no_weights)
    metric = METRICS.build(name, {}).resolve(compact, no_weights)
    judged = replace(context(), encoder=encoders.load(compact, encoders.compact.WEIGHTS))
    white = torch.ones(1, 3, 64, 96)
    signs = torch.randint(0, 2, white.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for content, style in (
        (white, white * 0),
        (photograph("coffee", 96), photograph("rocket", 96)),
    ):
        noise = metric(content + signs / 255, content, style, judged)
        assert abs(noise - metric(content, content, style, judged)) < 0.05


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


def test_an_image_that_is_too_narrow_for_the_trunk_has_no_lpips(
    squeeze_trunk: Path, random_judge: EncoderUse, context: Any
) -> None:
    """A panorama of 6:1 is 96 x 16 pixels at 96."""
    weights = WeightsStore(Network(offline=True), {"squeezenet1_1": squeeze_trunk})
    metric = Lpips().resolve(random_judge, weights)
    for size in ((16, 96), (96, 16)):
        narrow = torch.rand(1, 3, *size)
        reason = f"17 x 17 pixels, and an image has {size[1]} x {size[0]}"
        with pytest.raises(Unavailable, match=reason):
            metric(narrow, narrow, narrow, context())
    least = torch.rand(1, 3, 17, 96)
    assert metric(least, least, least, context()) == 0


@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_lpips_accepts_images_from_the_minimum_edge_on(net: Net) -> None:
    import warnings

    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    edge = MIN_EDGE.get(TRUNKS[net], images.MIN_EDGE)
    with torch.inference_mode():
        network(*torch.rand(2, 1, 3, edge, 48))
        with pytest.raises(RuntimeError, match="too small"):
            network(*torch.rand(2, 1, 3, edge - 1, 48))


def test_the_vgg_trunk_which_methods_minimize_is_the_last_choice() -> None:
    assert list(TRUNKS) == ["alex", "squeeze", "vgg"]
