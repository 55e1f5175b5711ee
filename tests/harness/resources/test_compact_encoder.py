"""The packaged encoder `compact`: its file, its features and its training."""

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from harness.encoders import compact, distill, find, load
from harness.encoders.architectures import ARCHITECTURES
from harness.encoders.feature_extractor import IMAGENET_MEAN, IMAGENET_STD, LayeredEncoder
from harness.resources.downloads import Network
from harness.resources.images import to_tensor
from harness.resources.stand_ins import paint
from harness.resources.weights import WeightsStore

MEGABYTE = 1_000_000


def encoder_of(tensors):
    network = compact.build()
    network.load_state_dict(tensors, assign=True)
    layers = zip(compact.LAYERS, network.features.children(), strict=True)
    return LayeredEncoder("compact", layers, IMAGENET_MEAN, IMAGENET_STD)


@pytest.fixture(scope="module")
def tensors():
    return load_file(compact.WEIGHTS)


@pytest.fixture(scope="module")
def encoder(tensors):
    return encoder_of(tensors)


@pytest.fixture(scope="module")
def noise():
    generator = torch.Generator().manual_seed(0)
    # Optimizers reach pixels from -0.3 to 1.3.
    return torch.rand((1, 3, 48, 64), generator=generator) * 1.6 - 0.3


@pytest.fixture(scope="module")
def paintings():
    return [to_tensor(paint(name, 128, 128)) for name in ("composition-vii", "great-wave")]


def gram(features):
    flat = features.flatten(2)
    return flat @ flat.mT / flat.shape[2]


def gram_distance(encoder, one, other, layer):
    a, b = (gram(encoder(image, [layer])[layer]) for image in (one, other))
    return float((a - b).square().sum() / (a.square().sum() * b.square().sum()).sqrt())


def test_the_file_is_small_and_in_half_precision(tensors):
    assert compact.WEIGHTS.stat().st_size <= MEGABYTE
    assert {torch.float16} == {tensor.dtype for tensor in tensors.values()}


def test_the_weights_fit_the_network_exactly(tensors):
    outcome = compact.build().load_state_dict(tensors, strict=True, assign=True)
    assert not outcome.missing_keys
    assert not outcome.unexpected_keys


def test_the_layers_of_compact_are_the_first_layers_of_vgg19():
    expected = (
        "conv1_1 relu1_1 conv1_2 relu1_2 pool1 conv2_1 relu2_1 conv2_2 relu2_2 pool2 conv3_1 "
        "relu3_1 conv3_2 relu3_2 conv3_3 relu3_3 conv3_4 relu3_4"
    )
    assert expected.split() == list(compact.LAYERS)


def test_features_and_their_gradients_are_finite_and_not_zero(encoder, noise):
    image = noise.clone().requires_grad_()
    for layer, features in encoder(image, encoder.layers).items():
        (gradient,) = torch.autograd.grad(features.square().mean(), image, retain_graph=True)
        assert features.isfinite().all(), layer
        assert gradient.isfinite().all(), layer
        assert gradient.abs().max() > 0, layer


def test_the_same_image_gives_the_same_features(encoder, noise):
    first, second = (encoder(noise, ["relu3_4"])["relu3_4"] for _ in range(2))
    assert torch.equal(first, second)


def test_features_have_the_scale_of_vgg19(encoder, paintings):
    # Root mean squares of VGG-19's features of this study, with the scale "imagenet".
    expected = {
        "relu1_1": 1.10, "relu1_2": 4.53, "relu2_1": 6.84, "relu2_2": 9.02,
        "relu3_1": 9.26, "relu3_2": 9.91, "relu3_3": 16.77, "relu3_4": 29.93,
    }  # fmt: skip
    assert not encoder.grey_levels
    found = encoder(paintings[0], tuple(expected))
    rms = {layer: float(features.square().mean().sqrt()) for layer, features in found.items()}
    assert expected == pytest.approx(rms, rel=0.25)


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1", "relu3_4"])
def test_two_paintings_are_further_apart_than_two_crops_of_one(encoder, paintings, layer):
    one, other = paintings
    within = gram_distance(encoder, one[..., :64], one[..., 64:], layer)
    between = gram_distance(encoder, one, other, layer)
    # The distance of two halves is 0.02 to 0.04; that of the paintings is 0.28 to 0.36 in the first
    # two layers, 1.1 and 1.3 in the others (VGG-19: 0.03 to 0.05; 0.31 and 0.35; 1.3).
    assert between > 5 * within


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """VGG-19 up to relu3_4 with random weights of the variance of He et al."""
    generator = torch.Generator().manual_seed(0)
    features = ARCHITECTURES["vgg19"].build().features
    tensors = {}
    for name, value in list(features.state_dict().items())[:16]:
        gain = (2 / value[0].numel()) ** 0.5 if value.dim() == 4 else 0.1
        tensors[f"features.{name}"] = gain * torch.randn(value.shape, generator=generator)
    path = tmp_path_factory.mktemp("teacher") / "vgg.safetensors"
    save_file(tensors, path)
    return load(*find("vgg19", WeightsStore(Network(offline=True), {"vgg19": path})))


@pytest.mark.slow
def test_distillation_regresses_layer_by_layer_and_then_learns(tmp_path, teacher):
    photographs = []
    for name in ("a", "b"):
        photographs.append(tmp_path / f"{name}.png")
        Image.fromarray(paint("composition-vii", 40, 32, ord(name))).save(photographs[-1])
    recipe = distill.Recipe(
        steps=2, crop=32, batch=2, regression_batches=4, positions=2000, warm_up=1
    )
    pictures = distill.Pictures(photographs, [], recipe.crop, recipe.seed)
    student, history = distill.distill(teacher, pictures, recipe, tmp_path / "out.safetensors")
    assert [tuple(losses) for losses in history] == [distill.RELUS] * 2
    # Only conv1_1 has enough maps for an exact result. A prediction of 0 has the error 1.
    assert history[0]["relu1_1"] < 1e-3
    assert all(error < 0.5 for error in history[0].values())

    student.save(tmp_path / "out.safetensors")
    crops = torch.cat([pictures.cut() for _ in range(4)])
    own = encoder_of(load_file(tmp_path / "out.safetensors"))
    for layer, expected in teacher(crops, distill.RELUS).items():
        assert float(distill.relative(own(crops, [layer])[layer], expected)) < 0.5, layer


def test_regression_finds_the_best_map_of_its_rank():
    """Two maps reproduce targets of rank 2 exactly, and one map does not."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 3, dtype=torch.float64, generator=generator)
    two = torch.randn(3, 2, dtype=torch.float64, generator=generator)
    y = x @ two @ torch.randn(2, 4, dtype=torch.float64, generator=generator) + 5
    rows = torch.cat([x, torch.ones(50, 1, dtype=torch.float64), y], 1)
    best, directions = distill._solve(rows.mT @ rows, answers=4, ridge=1e-12)
    centred = y - y.mean(0)
    for rank, exact in ((2, True), (1, False)):
        few = directions[:, :rank]
        projected = (x - x.mean(0)) @ best[:-1] @ few @ few.mT
        assert torch.allclose(projected, centred, atol=1e-6) is exact
