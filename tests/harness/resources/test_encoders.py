from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness import encoders
from harness.encoders.architectures import ARCHITECTURES, stages
from harness.encoders.feature_extractor import GREY_LEVELS
from harness.errors import UnknownNameError, WeightsError
from harness.resources.downloads import Network
from harness.resources.weights import TORCHVISION, WeightsStore


def weights_store(**given: Path) -> WeightsStore:
    return WeightsStore(Network(offline=True), given)


@pytest.fixture(scope="module")
def slim_vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the first four convolutions of a VGG-19 (random numbers, real shapes)."""
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128)}
    tensors = {}
    for index, (out, inward) in shapes.items():
        kernel = torch.randn(out, inward, 3, 3, generator=generator) * (2 / (9 * inward)) ** 0.5
        tensors |= {f"features.{index}.weight": kernel, f"features.{index}.bias": torch.zeros(out)}
    path = tmp_path_factory.mktemp("weights") / "vgg.safetensors"
    save_file(tensors, path)
    return path


def test_a_convolution_layer_is_the_input_of_its_relu(random_encoder: Any, photograph: Any) -> None:
    found = random_encoder(photograph("coffee", 64), ["conv4_2", "relu4_2"])
    assert found["conv4_2"].min() < 0  # an in-place ReLU would overwrite it with relu4_2
    assert torch.equal(found["conv4_2"].clamp(min=0), found["relu4_2"])


def test_features_equal_those_of_plain_torch(random_encoder: Any, photograph: Any) -> None:
    image = photograph("coffee", 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    for layer, module in random_encoder.stages:
        expected = module(expected)
        if layer == "relu2_1":
            break
    assert torch.allclose(random_encoder(image, ["relu2_1"])["relu2_1"], expected, atol=1e-5)


def test_an_encoder_runs_no_deeper_than_requested(random_encoder: Any, photograph: Any) -> None:
    ran = []
    deep = dict(random_encoder.stages)["conv5_1"]
    handle = deep.register_forward_hook(lambda *_: ran.append("conv5_1"))
    random_encoder(photograph("coffee", 64), ["relu4_4"])
    handle.remove()
    assert not ran


def test_weights_are_frozen_and_the_image_gets_its_gradient(random_encoder: Any) -> None:
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    random_encoder(image, ["relu2_2"])["relu2_2"].sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0
    assert not any(p.requires_grad for _, m in random_encoder.stages for p in m.parameters())


def test_average_pooling_changes_features_below_the_pool_and_none_above(
    random_encoder: Any, photograph: Any
) -> None:
    image = photograph("coffee", 64)
    layers = ["relu1_2", "relu2_1"]
    default, averaged = (
        random_encoder(image, layers),
        random_encoder.with_options(pooling="avg")(image, layers),
    )
    assert torch.equal(default["relu1_2"], averaged["relu1_2"])
    assert not torch.allclose(default["relu2_1"], averaged["relu2_1"])


def test_the_two_scales_differ_by_the_grey_levels_of_one_deviation(
    random_encoder: Any, photograph: Any
) -> None:
    # A network without biases passes on a factor of its input, here 57.6.
    image = photograph("coffee", 64)
    normal = random_encoder(image, ["relu3_1"])["relu3_1"]
    grey = random_encoder.with_options(scale="255")(image, ["relu3_1"])["relu3_1"]
    assert pytest.approx(57.63, abs=0.01) == GREY_LEVELS
    assert torch.allclose(grey, normal * GREY_LEVELS, rtol=1e-3, atol=1e-2)


def test_weights_for_grey_levels_give_features_on_the_same_two_scales(slim_vgg: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(slim_vgg)
    # Like Oxford's weights, rescaled for normalised input.
    tensors["features.0.weight"] *= GREY_LEVELS
    folded = slim_vgg.with_name("folded.safetensors")
    save_file(tensors, folded)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for scale in ("imagenet", "255"):
        plain, grey = (
            encoders.load(*encoders.find("vgg19", weights_store(vgg19=path))).with_options(
                scale=scale
            )(  # type: ignore[arg-type]
                image, ["relu2_1"]
            )["relu2_1"]
            for path in (slim_vgg, folded)
        )
        assert torch.allclose(plain, grey, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))


def test_a_partial_file_provides_its_layers_and_errors_name_the_last_one(slim_vgg: Path) -> None:
    use, path = encoders.find("vgg19", weights_store(vgg19=slim_vgg))
    assert use.layers[-1] == "pool2"
    encoder = encoders.load(use, path)
    with pytest.raises(
        UnknownNameError, match=r"'relu4_2' is not a layer of vgg19: its last is 'relu2_2'"
    ):
        encoder(torch.rand(1, 3, 32, 32), ["relu4_2"])


def test_weights_of_another_network_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(
        {"features.0.weight": torch.zeros(8, 3, 3, 3), "features.0.bias": torch.zeros(8)}, path
    )
    with pytest.raises(WeightsError, match=r"x\.safetensors does not contain weights of vgg19"):
        encoders.find("vgg19", weights_store(vgg19=path))


def test_a_pickle_that_would_run_code_is_rejected(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "vgg.pth"
    path.write_bytes(pickle.dumps({"features.0.weight": Evil()}, protocol=2))
    with pytest.raises(WeightsError, match=r"vgg\.pth contains objects other than tensors"):
        encoders.find("vgg19", weights_store(vgg19=path))
    assert not (tmp_path / "ran").exists()


def test_a_pickled_model_is_rejected(tmp_path: Path) -> None:
    torch.save(torch.nn.Conv2d(3, 8, 3), tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=r"model\.pth contains objects other than tensors"):
        encoders.find("vgg19", weights_store(vgg19=tmp_path / "model.pth"))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_truncated_weights_are_reported(slim_vgg: Path, tmp_path: Path, suffix: str) -> None:
    from safetensors.torch import load_file

    path = tmp_path / f"cut{suffix}"
    torch.save(load_file(slim_vgg), path)
    complete = slim_vgg.read_bytes() if suffix == ".safetensors" else path.read_bytes()
    for share in (0.0, 0.01, 0.5, 0.99):
        path.write_bytes(complete[: int(len(complete) * share)])
        with pytest.raises(WeightsError, match=rf"cut\{suffix}"):
            encoders.find("vgg19", weights_store(vgg19=path))


def test_a_text_file_is_rejected_as_weights(tmp_path: Path) -> None:
    for name in ("a.safetensors", "a.pth"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(WeightsError, match=name):
            encoders.find("vgg19", weights_store(vgg19=tmp_path / name))


def test_missing_layers_are_reported_and_extra_ones_are_ignored(
    slim_vgg: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    tensors = load_file(slim_vgg)
    save_file({**tensors, "classifier.0.weight": torch.zeros(3)}, tmp_path / "more.safetensors")
    more, _ = encoders.find("vgg19", weights_store(vgg19=tmp_path / "more.safetensors"))
    assert more.layers == encoders.find("vgg19", weights_store(vgg19=slim_vgg))[0].layers
    del tensors["features.2.bias"]
    save_file(tensors, tmp_path / "gap.safetensors")
    with pytest.raises(WeightsError, match=r"has features\.5\.weight, but not features\.2\.bias"):
        encoders.find("vgg19", weights_store(vgg19=tmp_path / "gap.safetensors"))


def test_a_broken_file_from_the_user_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"x\.safetensors cannot be read as weights"):
        encoders.find("auto", weights_store(vgg19=tmp_path / "x.safetensors"))


def test_an_encoder_without_the_layers_of_metrics_is_rejected(
    slim_vgg: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    first = {k: v for k, v in load_file(slim_vgg).items() if k.split(".")[1] in "02"}
    save_file(first, tmp_path / "short.safetensors")
    use, _ = encoders.find("vgg19", weights_store(vgg19=tmp_path / "short.safetensors"))
    with pytest.raises(WeightsError, match=r"ends at pool1: metrics need at least relu2_2"):
        encoders.canonical_layers(use)


def test_a_requested_layer_can_have_a_substitute(random_encoder: Any, photograph: Any) -> None:
    image = photograph("coffee", 64)
    view = random_encoder.with_stand_ins({"relu9_1": "relu2_1"}).with_options(pooling="max")
    found = view(image, ["relu9_1", "relu2_1", "relu1_1"])
    assert list(found) == ["relu9_1", "relu2_1", "relu1_1"]
    assert torch.equal(found["relu9_1"], random_encoder(image, ["relu2_1"])["relu2_1"])


def test_auto_without_a_network_uses_compact_and_warns() -> None:
    use, path = encoders.find("auto", weights_store())
    assert use.name == "compact"
    assert path is not None
    assert "replaces VGG-19" in use.warning
    assert "--weights vgg19=PATH" in use.warning


def test_an_encoder_requested_by_name_is_not_replaced() -> None:
    with pytest.raises(WeightsError, match=r"--weights vgg19=PATH"):
        encoders.find("vgg19", weights_store())


def test_an_unknown_encoder_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'vgg19'"):
        encoders.find("vgg91", weights_store())


def test_random_weights_depend_only_on_their_seed() -> None:
    first, again, other = (
        encoders.find(s, weights_store())[0] for s in ("random:1", "random:1", "random:2")
    )
    assert first.sha256 == again.sha256 != other.sha256
    image = torch.rand(1, 3, 32, 32)
    one, two, three = (
        encoders.load(u, None)(image, ["relu1_1"])["relu1_1"] for u in (first, again, other)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


@pytest.mark.parametrize("name", ["vgg19", "vgg16", "squeezenet1_1", "alexnet", "inception_v3"])
def test_weights_of_torchvision_have_a_stage_for_every_layer(name: str, tmp_path: Path) -> None:
    """Check names and shapes with zeros, because the real weights need a download."""
    network = ARCHITECTURES[name].build()
    tensors = {
        k: torch.zeros(v.shape) for k, v in network.state_dict().items() if "classifier" not in k
    }
    path = tmp_path / "full.safetensors"
    save_file(tensors, path)
    use, found = encoders.find(name, weights_store(**{name: path}))
    assert use.layers == ARCHITECTURES[name].layers
    assert [layer for layer, _, _ in stages(name, network)] == list(use.layers)
    size = 96 if name == "inception_v3" else 64
    last = encoders.load(use, found)(torch.rand(1, 3, size, size), [use.layers[-1]])
    assert torch.isfinite(last[use.layers[-1]]).all()


def test_file_names_equal_those_of_torchvision() -> None:
    import torchvision

    for name, (file, _) in TORCHVISION.items():
        weights = torchvision.models.get_model_weights(name).IMAGENET1K_V1
        assert weights.url.rsplit("/", 1)[1] == file


def test_bfloat16_stays_close_to_float32(photograph: Any) -> None:
    use, path = encoders.find("random", weights_store())
    image = photograph("coffee", 64)
    exact, fast = (
        encoders.load(use, path, precision=p)(image, ["relu3_4"])["relu3_4"]
        for p in ("float32", "bfloat16")
    )
    assert fast.dtype == torch.float32
    # bfloat16 keeps 8 bits: 0.4 % per rounding, over eight layers
    assert (fast - exact).norm() / exact.norm() < 0.02
