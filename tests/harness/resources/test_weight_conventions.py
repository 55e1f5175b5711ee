"""Weights made for other input than torchvision's: recognised, converted exactly, or rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from harness import encoders
from harness.encoders import compact, conventions
from harness.encoders.conventions import CAFFE, TORCHVISION, recognise
from harness.encoders.feature_extractor import GREY_LEVELS, IMAGENET_STD
from harness.errors import WeightsError
from harness.metrics.lpips import Lpips
from harness.resources.downloads import Network, file_sha256
from harness.resources.weights import WeightsStore

STD = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
CAFFE_MEAN = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)  # BGR, as in neural-style

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def caffe() -> Tensors:
    """Oxford's conv1_1 for BGR 0..255, from `compact`, and three random convolutions."""
    generator = torch.Generator().manual_seed(0)
    kernel = load_file(compact.WEIGHTS)["features.0.weight"].float() * GREY_LEVELS / (255 * STD)
    biases = torch.randn(64, generator=generator)
    biases[:6] = torch.tensor(conventions.FIRST_BIASES["vgg19"])
    tensors = {"features.0.weight": kernel.flip(1).contiguous(), "features.0.bias": biases}
    for index, (out, inward) in {2: (64, 64), 5: (128, 64), 7: (128, 128)}.items():
        kernel = torch.randn(out, inward, 3, 3, generator=generator) * (2 / (9 * inward)) ** 0.5
        tensors[f"features.{index}.weight"] = kernel
        tensors[f"features.{index}.bias"] = torch.randn(out, generator=generator)
    return tensors


def variant(caffe: Tensors, change: Any) -> Tensors:
    return {**caffe, "features.0.weight": change(caffe["features.0.weight"]).contiguous()}


def find(tensors: Tensors, path: Path) -> Any:
    save_file(tensors, path)
    return encoders.find("vgg19", WeightsStore(Network(offline=True), {"vgg19": path}))


def caffe_features(tensors: Tensors, image: torch.Tensor) -> torch.Tensor:
    """Return relu2_2 of a VGG on BGR 0..255 less the mean, in functions of torch."""
    x = 255 * image.flip(1) - CAFFE_MEAN
    for index in (0, 2, 5, 7):
        weight, bias = (tensors[f"features.{index}.{key}"] for key in ("weight", "bias"))
        x = F.relu(F.conv2d(x, weight, bias, padding=1))
        x = F.max_pool2d(x, 2) if index == 2 else x
    return x


def test_features_of_a_caffe_file_equal_those_of_the_network_on_bgr_less_the_mean(
    caffe: Tensors, tmp_path: Path, photograph: Any
) -> None:
    use, path = find(caffe, tmp_path / "caffe.safetensors")
    assert use.origin == "caffe.safetensors, converted from BGR 0..255"
    image = photograph("chelsea", 64)
    encoder = encoders.load(use, path)
    expected = caffe_features(caffe, image)
    grey = encoder.with_options(scale="255")(image, ["relu2_2"])["relu2_2"]
    normal = encoder(image, ["relu2_2"])["relu2_2"]
    tolerance = 1e-5 * float(expected.max())
    assert torch.allclose(grey, expected, rtol=1e-4, atol=tolerance)
    assert torch.allclose(normal * GREY_LEVELS, expected, rtol=1e-4, atol=tolerance)


def test_one_network_in_four_conventions_has_the_same_features(
    caffe: Tensors, tmp_path: Path, photograph: Any
) -> None:
    image = photograph("chelsea", 64)
    changes = {
        "BGR 0..255": lambda k: k,
        "RGB 0..255": lambda k: k.flip(1),
        "BGR normalised": lambda k: k * 255 * STD.flip(1),
        "RGB normalised": lambda k: k.flip(1) * 255 * STD,
    }
    found = {}
    for name, change in changes.items():
        use, path = find(variant(caffe, change), tmp_path / "vgg.safetensors")
        assert ("converted" in use.origin) == (name != "RGB normalised")
        assert name == "RGB normalised" or use.origin.endswith(f"converted from {name}")
        found[name] = encoders.load(use, path)(image, ["relu2_2"])["relu2_2"]
    # The two means differ by half a grey level.
    for features in found.values():
        error = (features - found["RGB normalised"]).norm() / features.norm()
        assert error < 0.01


def test_a_converted_file_has_another_identity_than_its_bytes(
    caffe: Tensors, tmp_path: Path
) -> None:
    use, path = find(caffe, tmp_path / "caffe.safetensors")
    assert use.sha256 != file_sha256(path)
    assert encoders.converted(use, path)
    use, path = find(variant(caffe, lambda k: k.flip(1) * 255 * STD), tmp_path / "rgb.safetensors")
    assert use.sha256 == file_sha256(path)
    assert not encoders.converted(use, path)


@pytest.mark.parametrize("change", ["half", "tuned", "rescaled features"])
def test_rounded_tuned_and_rescaled_copies_are_recognised(caffe: Tensors, change: str) -> None:
    weight, bias = caffe["features.0.weight"], caffe["features.0.bias"]
    if change == "half":
        weight, bias = weight.half(), bias.half()
    if change == "tuned":
        noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
        weight = weight + 0.2 * weight.std() * noise
    if change == "rescaled features":
        weight, bias = weight / GREY_LEVELS, bias / GREY_LEVELS
    assert recognise("vgg19", "", {"weight": weight, "bias": bias}, "x.pth") == CAFFE


def test_oxfords_vgg16_is_recognised_and_other_weights_count_as_torchvisions() -> None:
    generator = torch.Generator().manual_seed(0)
    kernel, bias = torch.randn(64, 3, 3, 3, generator=generator) / 5, torch.zeros(64)
    other = {"weight": kernel, "bias": bias}
    assert recognise("vgg16", "", other, "x.pth") == TORCHVISION
    assert recognise("vgg19", "", other, "x.pth") == TORCHVISION
    oxford = kernel.clone()
    for row, colour in zip(conventions.VGG16_TAPS, (2, 1, 0), strict=True):  # BGR
        oxford[list(conventions.VGG16_FILTERS), colour, 0, 0] = torch.tensor(row)
    bias[:6] = torch.tensor(conventions.FIRST_BIASES["vgg16"])
    assert recognise("vgg16", "", {"weight": oxford, "bias": bias}, "x.pth") == CAFFE


def test_known_files_are_recognised_by_their_hash() -> None:
    first = {"weight": torch.zeros(64, 3, 3, 3), "bias": torch.zeros(64)}
    for sha256, expected in {"d01eb7cb": CAFFE, "00b39a1b": CAFFE, "dcbb9e9d": TORCHVISION}.items():
        assert recognise("vgg19", sha256 + "0" * 56, first, "x.pth") == expected


def test_pixels_in_another_unit_are_rejected_with_the_allowed_ones(
    caffe: Tensors, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"unit\.safetensors is Oxford's vgg19 .* 255 times"):
        find(variant(caffe, lambda k: k * 255), tmp_path / "unit.safetensors")


def test_lpips_does_not_use_converted_weights(
    caffe: Tensors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "vgg16.safetensors"
    save_file(caffe, path)
    monkeypatch.setitem(conventions.KNOWN_FILES, file_sha256(path)[:8], CAFFE)
    store = WeightsStore(Network(offline=True), {"vgg16": path})
    judge = encoders.find("compact", store)[0]
    assert "LPIPS needs torchvision's" in Lpips(net="vgg").resolve(judge, store).missing
