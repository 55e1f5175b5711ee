"""The transformer net of `johnson`: its structure, its training and its checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import torch
import torch.nn.functional as F

from methods._network_training import FIRST_CONTRAST, rate
from methods._transformer_net import PixelShuffle, TransformerNet, TransposedConv, from_examples
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


def examples_state(seed: int) -> dict[str, torch.Tensor]:
    """Return a checkpoint with the names and shapes of pytorch/examples @77f55b9."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"conv1": (32, 3, 9), "conv2": (64, 32, 3), "conv3": (128, 64, 3)}
    shapes |= {f"res{i}.conv{j}": (128, 128, 3) for i in range(1, 6) for j in (1, 2)}
    shapes |= {"deconv1": (64, 128, 3), "deconv2": (32, 64, 3), "deconv3": (3, 32, 9)}
    norms = {"in1": 32, "in2": 64, "in3": 128, "in4": 64, "in5": 32}
    norms |= {f"res{i}.in{j}": 128 for i in range(1, 6) for j in (1, 2)}
    state = {}
    for name, (out, inward, kernel) in shapes.items():
        fan = inward * kernel**2
        kernels = torch.randn(out, inward, kernel, kernel, generator=generator)
        state[f"{name}.conv2d.weight"] = kernels / fan**0.5
        state[f"{name}.conv2d.bias"] = torch.randn(out, generator=generator)
    for name, channels in norms.items():
        state[f"{name}.weight"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.bias"] = torch.randn(channels, generator=generator)
    return state


def examples_forward(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Apply the network of pytorch/examples, 0..255 to 0..255, in functions of torch."""

    def conv(name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = state[f"{name}.conv2d.weight"]
        padded = F.pad(x, (weight.shape[-1] // 2,) * 4, mode="reflect")
        return F.conv2d(padded, weight, state[f"{name}.conv2d.bias"], stride)

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
        weight, bias = (state[f"{name}.{k}"].view(1, -1, 1, 1) for k in ("weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    for i, stride in ((1, 1), (2, 2), (3, 2)):
        x = F.relu(norm(f"in{i}", conv(f"conv{i}", x, stride)))
    for i in range(1, 6):
        inner = F.relu(norm(f"res{i}.in1", conv(f"res{i}.conv1", x)))
        x = x + norm(f"res{i}.in2", conv(f"res{i}.conv2", inner))
    for i in (1, 2):
        doubled = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        x = F.relu(norm(f"in{i + 3}", conv(f"deconv{i}", doubled)))
    return conv("deconv3", x)


def test_the_output_equals_that_of_pytorch_examples_with_the_same_weights() -> None:
    # The difference to the original code at commit 77f55b9 was exactly 0 (measured once).
    state = examples_state(0)
    network = TransformerNet(EXAMPLES).eval()
    network.load_state_dict(from_examples(dict(state))[0])
    image = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output, reference = network(image) * 255, examples_forward(state, image * 255)
    assert torch.allclose(output, reference, rtol=1e-4, atol=1e-3)


def test_an_old_checkpoint_loads_with_a_note_on_dropped_entries(
    tmp_path: Path, context: Any
) -> None:
    state = {f"module.{k}": v for k, v in examples_state(0).items()}  # saved from DataParallel
    state |= {f"module.in1.running_{k}": torch.zeros(32) for k in ("mean", "var")}  # before 0.4
    path = tmp_path / "candy.pth"
    torch.save({"state_dict": state}, path)  # the format of gordicaleksa
    notes: list[str] = []
    recipe = Johnson(**{**Johnson.presets["examples"], "checkpoint": str(path)})
    stylizer = recipe.fit(
        torch.rand(1, 3, 32, 32), dataclasses.replace(context(), note=notes.append)
    )
    assert "2 unused entries" in notes[0]
    image = torch.rand(1, 3, 32, 32)
    reference = examples_forward(examples_state(0), image * 255) / 255
    assert torch.allclose(stylizer(image, context()), reference, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_of_another_width_raises_with_the_reason(tmp_path: Path, context: Any) -> None:
    from harness.errors import WeightsError

    path = tmp_path / "wide.pth"
    torch.save(examples_state(0), path)
    recipe = Johnson(**{**Johnson.presets["examples"], "width": 0.5, "checkpoint": str(path)})
    with pytest.raises(WeightsError, match=r"does not fit norm=instance.*width=0\.5"):
        recipe.fit(torch.rand(1, 3, 32, 32), context())


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
