"""The transformer net of `johnson`: its structure and its training."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
import torch

from methods._network_training import FIRST_CONTRAST, rate
from methods._transformer_net import PixelShuffle, TransformerNet, TransposedConv
from methods.johnson import Johnson

EXAMPLES = Johnson(**Johnson.presets["examples"])


def parameters(recipe: Johnson) -> int:
    return sum(p.numel() for p in TransformerNet(recipe).parameters())


def test_width_1_has_as_many_parameters_as_pytorch_examples() -> None:
    # Convolutions 3-32 (9x9), 32-64, 64-128, ten 128-128, 128-64, 64-32 (3x3) and 32-3 (9x9), all
    # with bias, and an affine norm (2 per channel) after each but the last.
    weights = 3 * 32 * 81 + 32 * 64 * 9 + 64 * 128 * 9 + 10 * 128 * 128 * 9
    weights += 128 * 64 * 9 + 64 * 32 * 9 + 32 * 3 * 81
    biases = 32 + 64 + 128 + 10 * 128 + 64 + 32 + 3
    norms = 2 * (32 + 64 + 128 + 10 * 128 + 64 + 32)
    assert weights + biases + norms == 1_679_235
    assert parameters(EXAMPLES) == 1_679_235


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("upsample", ["upsample_conv", "conv_transpose"])
def test_norms_and_upsamplings_have_the_same_number_of_parameters(norm: Any, upsample: Any) -> None:
    assert parameters(Johnson(norm=norm, upsample=upsample)) == 1_679_235


@pytest.mark.parametrize("kernel", [4, 2])
def test_kernels_that_are_multiples_of_the_stride_overlap_evenly(kernel: int) -> None:
    # Away from the edge each pixel sums (kernel / 2)^2 weights of 1. With a kernel of 3 the four
    # phases sum 1, 2, 2 and 4 weights.
    for size, counts in ((kernel, {(kernel // 2) ** 2}), (3, {1, 2, 4})):
        up = TransposedConv(1, 1, size)
        torch.nn.init.ones_(up.weight)
        torch.nn.init.zeros_(up.bias)  # type: ignore[arg-type]
        enlarged = up(torch.ones(1, 1, 8, 8))
        assert enlarged.shape[-2:] == (16, 16)
        assert set(enlarged[0, 0, 2:-2, 2:-2].flatten().tolist()) == counts


def test_pixel_shuffle_arranges_four_channels_as_four_pixels() -> None:
    up = PixelShuffle(1, 1, "zero")
    torch.nn.init.zeros_(up.convolution.conv.weight)
    with torch.no_grad():
        up.convolution.conv.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))  # type: ignore[union-attr]
    assert up(torch.zeros(1, 1, 1, 1))[0, 0].tolist() == [[1, 2], [3, 4]]


def test_training_of_0_steps_reports_no_step(context: Any) -> None:
    steps: list[Any] = []
    Johnson(width=0.25, steps=0).fit(torch.rand(1, 3, 32, 32), context(steps=steps))
    assert not steps


@pytest.mark.parametrize(("output", "factor"), [("centered", FIRST_CONTRAST), ("linear", 1.0)])
def test_training_starts_with_low_contrast_if_the_output_is_centered(
    context: Any, output: Any, factor: float
) -> None:
    initial, trained = (
        Johnson(width=0.25, steps=steps, learning_rate=1e-9, batch_size=1, crop=32, output=output)
        .fit(torch.rand(1, 3, 32, 32), context())
        .tensors()  # type: ignore[attr-defined]
        for steps in (0, 1)
    )
    for name in ("out.conv.weight", "out.conv.bias"):
        assert torch.allclose(trained[name], factor * initial[name], atol=1e-6)
    assert torch.allclose(
        trained["up2.convolution.convolution.conv.weight"],
        initial["up2.convolution.convolution.conv.weight"],
        atol=1e-6,
    )


def test_the_learning_rate_rises_during_the_warm_up_and_then_falls() -> None:
    recipe = Johnson(steps=10, warm_up=0.3)
    rates = [rate(recipe, step) for step in range(10)]
    assert rates == pytest.approx([1 / 4, 2 / 4, 3 / 4, *(k / 7 for k in range(7, 0, -1))])
    assert {rate(EXAMPLES, step) for step in range(10)} == {1.0}
    cold = Johnson(steps=4, warm_up=0.0)
    assert [rate(cold, step) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize(("height", "width"), [(33, 47), (64, 30), (5, 5)])
@pytest.mark.parametrize("upsample", get_args(get_type_hints(Johnson)["upsample"]))
def test_the_output_has_the_size_of_the_input(height: int, width: int, upsample: Any) -> None:
    network = TransformerNet(Johnson(width=0.25, upsample=upsample)).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)


def test_only_batch_normalization_depends_on_the_other_images() -> None:
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for norm, alone in (("instance", True), ("batch", False)):
        network = TransformerNet(Johnson(width=0.25, norm=norm)).train()  # type: ignore[arg-type]
        with torch.no_grad():
            together, single = network(images)[:1], network(images[:1])
        assert torch.allclose(together, single, atol=1e-4) is alone


def test_every_kind_of_normalization_is_affine() -> None:
    for norm, affine in (("instance", 2), ("batch", 2), ("none", 0)):
        first = TransformerNet(Johnson(norm=norm)).down1.norm  # type: ignore[arg-type]
        assert len(list(first.parameters())) == affine


def test_the_tanh150_output_is_within_its_range() -> None:
    image = torch.rand(1, 3, 32, 32)
    network = TransformerNet(Johnson(width=0.25, output="tanh150")).eval()
    network.out.conv.weight.data.mul_(1e4)  # saturate the tanh
    with torch.no_grad():
        out = network(image) * 255
    assert out.min() >= 127.5 - 150 - 1e-3
    assert out.max() <= 127.5 + 150 + 1e-3
