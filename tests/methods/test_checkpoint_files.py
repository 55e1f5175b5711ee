"""Files of trained networks: what they tell decides the network, or the file is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from harness import plan, suite
from harness.encoders.architectures import ARCHITECTURES
from harness.errors import SuiteError, WeightsError
from harness.execution.fit import Fit, pack_tensors
from harness.records import Cell, EncoderUse, ImageUse, TrainingUse
from methods._checkpoint_files import from_examples
from methods._transformer_net import TransformerNet
from methods.johnson import Johnson

EXAMPLES = Johnson(**Johnson.presets["examples"])
OWN = {"width": 0.25, "output": "linear", "padding": "zero", "interpolation": "bilinear"}
Write = Callable[[str], Path]


def planned(write_suite: Write, method: str, folder: Path | None = None) -> Cell:
    """Return the cell of a suite with one method, a map of YAML."""
    text = (
        "version: 1\nname: s\ncontents: {coffee: {builtin: coffee}}\n"
        f"styles: {{bricks: {{builtin: brick}}}}\nmethods:\n  m: {method}\n"
    )
    images = {n: ImageUse(n, n, "here", width=64, height=64) for n in ("coffee", "bricks")}
    resources = plan.Resources(
        contents=images,
        styles=images,
        encoder=EncoderUse("vgg19", "w", "here", layers=ARCHITECTURES["vgg19"].layers),
        device="cpu",
        precision="float32",
        training=TrainingUse("here", 1, "t"),
    )
    path = write_suite(text)
    if folder is not None:
        path = path.rename(folder / path.name)
    return plan.expand(suite.load(path), resources)[0][0]


def stylize(cell: Cell, image: torch.Tensor, context: Any) -> torch.Tensor:
    method = Johnson(**cell.params)
    result: torch.Tensor = method.fit(torch.rand(1, 3, 32, 32), context())(image, context())
    return result


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
    recipe = Johnson(**Johnson.presets["examples"], checkpoint=str(path))
    stylizer = recipe.fit(
        torch.rand(1, 3, 32, 32), dataclasses.replace(context(), note=notes.append)
    )
    assert "(2: in1.running_mean ...)" in notes[0]
    image = torch.rand(1, 3, 32, 32)
    reference = examples_forward(examples_state(0), image * 255) / 255
    assert torch.allclose(stylizer(image, context()), reference, rtol=1e-4, atol=1e-4)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(1, 3, 32, 40, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def candy(tmp_path: Path) -> Path:
    torch.save(examples_state(0), tmp_path / "candy.pth")
    return tmp_path / "candy.pth"


@pytest.fixture
def own(tmp_path: Path, write_suite: Write, context: Any) -> Callable[..., Path]:
    """Return a function that trains for no step and stores the fit as a run does."""

    def store(**params: Any) -> Path:
        pairs = ", ".join(f"{name}: {value}" for name, value in {**params, "steps": 0}.items())
        cell = planned(write_suite, f"{{use: johnson, params: {{{pairs}}}}}")
        method = Johnson(**cell.params)
        stylizer = method.fit(torch.rand(1, 3, 32, 32), context())
        path = tmp_path / "own.safetensors"
        path.write_bytes(pack_tensors(method, Fit(stylizer=stylizer), cell))
        return path

    return store


def test_a_network_of_pytorch_examples_needs_no_preset(
    candy: Path, write_suite: Write, image: torch.Tensor, context: Any
) -> None:
    bare = planned(write_suite, f"{{use: johnson, params: {{checkpoint: {candy}}}}}")
    reference = examples_forward(examples_state(0), image * 255) / 255
    assert torch.allclose(stylize(bare, image, context), reference, rtol=1e-4, atol=1e-4)
    preset = f"{{use: johnson, preset: examples, params: {{checkpoint: {candy}}}}}"
    assert torch.equal(
        stylize(planned(write_suite, preset), image, context), stylize(bare, image, context)
    )
    assert (bare.params["output"], bare.params["padding"]) == ("linear", "reflect")


def test_a_stored_fit_loads_with_the_network_that_was_trained(
    own: Callable[..., Path], write_suite: Write, image: torch.Tensor, context: Any
) -> None:
    path = own(**OWN)
    network = TransformerNet(Johnson(**OWN)).eval()  # type: ignore[arg-type]
    network.load_state_dict(load_file(path))
    with torch.no_grad():
        expected = network(image)
    cell = planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}}}}}")
    assert torch.equal(stylize(cell, image, context), expected)
    assert {name: cell.params[name] for name in OWN} == OWN


def test_a_stored_fit_has_its_whole_recipe(own: Callable[..., Path]) -> None:
    with safetensors.safe_open(own(**OWN), "pt") as file:
        recipe = json.loads(file.metadata()["nstbench"])
    assert recipe["method"] == "johnson"
    assert recipe["params"].items() >= {**OWN, "steps": 0, "style_weight": 3.0}.items()
    assert (recipe["style"], recipe["encoder"], recipe["training"]) == ("bricks", "vgg19", "t")


@pytest.mark.parametrize(
    "where",
    [
        "params: {output: centered, checkpoint: FILE}",
        "preset: paper, params: {checkpoint: FILE}",
        "params: {checkpoint: FILE}, axes: {output: [tanh150]}",
    ],
)
def test_a_suite_that_contradicts_the_file_is_refused(
    candy: Path, where: str, write_suite: Write
) -> None:
    method = f"{{use: johnson, {where.replace('FILE', str(candy))}}}"
    with pytest.raises(SuiteError, match=r"candy\.pth is a network with .*output: linear.*the "
                       r"method has .*Remove .*output.*`preset: examples`"):  # fmt: skip
        planned(write_suite, method)


def test_a_file_without_recipe_loads_if_the_suite_sets_what_it_does_not_state(
    own: Callable[..., Path], write_suite: Write, image: torch.Tensor, context: Any
) -> None:
    path = own(**OWN)
    expected = stylize(
        planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}}}}}"), image, context
    )
    save_file(load_file(path), path)
    example = r"\{interpolation: nearest, padding: reflect, output: centered\}"
    with pytest.raises(SuiteError, match=rf"does not state .*output: .* params: {example}"):
        planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}}}}}")
    stated = "output: linear, padding: zero, interpolation: bilinear"
    cell = planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}, {stated}}}}}")
    assert cell.params["width"] == 0.25
    assert torch.equal(stylize(cell, image, context), expected)


@pytest.mark.parametrize(
    "structure",
    [
        {"norm": "batch", "upsample": "conv_transpose"},
        {"norm": "none", "upsample": "conv_transpose_k4"},
        {"norm": "instance", "upsample": "conv_transpose_k2"},
        {"norm": "batch", "upsample": "pixel_shuffle"},
    ],
    ids=str,
)
def test_names_and_shapes_state_norm_upsampling_and_width(
    structure: dict[str, str], own: Callable[..., Path], write_suite: Write
) -> None:
    path = own(width=0.5, **structure)
    save_file(load_file(path), path)
    method = f"{{use: johnson, params: {{checkpoint: {path}, padding: zero, output: linear}}}}"
    assert planned(write_suite, method).params.items() >= {"width": 0.5, **structure}.items()


@pytest.mark.parametrize("given", ["", ", width: 0.3"])
def test_the_channels_of_a_file_without_recipe_give_its_width(
    given: str, own: Callable[..., Path], write_suite: Write, image: torch.Tensor, context: Any
) -> None:
    path = own(width=0.3)  # 10, 19 and 38 channels
    save_file(load_file(path), path)
    stated = f"output: centered, padding: reflect, interpolation: nearest{given}"
    cell = planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}, {stated}}}}}")
    assert stylize(cell, image, context).shape == image.shape
    assert not given or cell.params["width"] == 0.3


@pytest.mark.parametrize(
    ("names", "project"),
    [
        (["conv1.conv2d.weight", "up3.conv2d.weight"], "gordicaleksa/pytorch-nst-feedforward"),
        (["in1.scale", "deconv3.conv2d.weight"], "abhiskk/fast-neural-style"),
        (["ConvBlock.0.conv_layer.weight"], "rrmina/fast-neural-style-pytorch"),
        ([f"layer{i}.weight" for i in range(200)], r"another layout \(layer0\.weight"),
    ],
)
def test_networks_of_other_projects_are_refused_in_one_sentence(
    names: list[str], project: str, tmp_path: Path, write_suite: Write
) -> None:
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {name: torch.zeros(3) for name in names}, "epoch": 1}, path)
    with pytest.raises(SuiteError, match=project) as caught:
        planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}}}}}")
    what = caught.value.problems[0].what
    assert "johnson loads networks of nstbench and of pytorch/examples" in what
    assert len(what) < 250


def test_the_state_of_an_unfinished_training_is_refused(tmp_path: Path, write_suite: Write) -> None:
    path = tmp_path / "state.safetensors"
    save_file({"0": torch.zeros(3)}, path, {"nstbench": json.dumps({"format": 1, "state": {}})})
    with pytest.raises(SuiteError, match=r"unfinished training; use the model\.safetensors"):
        planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}}}}}")


def test_a_recipe_with_unknown_values_is_refused(
    own: Callable[..., Path], write_suite: Write
) -> None:
    path = own(width=0.25)
    recipe = {"params": {**dataclasses.asdict(Johnson(width=0.25)), "padding": "mirror"}}
    save_file(load_file(path), path, {"nstbench": json.dumps(recipe)})
    with pytest.raises(SuiteError, match=r"another version of nstbench.*padding: 'mirror'"):
        planned(write_suite, f"{{use: johnson, params: {{checkpoint: {path}}}}}")


def test_a_method_built_in_python_is_checked_against_its_file(candy: Path, context: Any) -> None:
    recipe = Johnson(**{**Johnson.presets["examples"], "width": 0.5}, checkpoint=str(candy))
    with pytest.raises(WeightsError, match=r"a network with width: 1\.0; the method has width: 0"):
        recipe.fit(torch.rand(1, 3, 32, 32), context())


@pytest.mark.parametrize("written", ["candy.pth", "./sub/../candy.pth", "~/candy.pth"])
def test_the_path_of_a_checkpoint_is_relative_to_the_suite_or_to_home(
    written: str, candy: Path, write_suite: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = candy.parent / "suites"
    for name in ("suites/sub", "home", "elsewhere"):
        (candy.parent / name).mkdir(parents=True)
    candy.rename((candy.parent / "home" if "~" in written else folder) / candy.name)
    monkeypatch.setenv("HOME", str(candy.parent / "home"))
    monkeypatch.chdir(candy.parent / "elsewhere")
    cell = planned(write_suite, f"{{use: johnson, params: {{checkpoint: {written}}}}}", folder)
    assert Path(cell.params["checkpoint"]).is_file()
    assert "checkpoint" in cell.files
