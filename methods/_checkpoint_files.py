"""Files of trained networks: whose they are, and what they tell of their recipe."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.errors import WeightsError, listed
from harness.resources.weights import describe_tensors, load_tensors, recipe_error
from methods._recipes import CHANNELS, NetworkRecipe, TrainingRecipe, channels

if TYPE_CHECKING:
    from torch import Tensor

R = TypeVar("R", bound=TrainingRecipe)

STRUCTURE = tuple(field.name for field in dataclasses.fields(NetworkRecipe))

READ_FIRST = "johnson loads networks of nstbench and of pytorch/examples"

EXAMPLES_STRUCTURE = {
    "norm": "instance",
    "upsample": "upsample_conv",
    "interpolation": "nearest",
    "padding": "reflect",
    "output": "linear",
}

OTHER_LAYOUTS = {
    # A name that only this layout has -> the project
    "up3.conv2d.weight": "gordicaleksa/pytorch-nst-feedforward, for normalised input",
    "in1.scale": "abhiskk/fast-neural-style, for BGR input",
    "ConvBlock.0.conv_layer.weight": "rrmina/fast-neural-style-pytorch, for BGR input",
}


def _examples_names() -> dict[str, str]:
    names = {"deconv3.conv2d": "out.conv"}
    for i in (1, 2, 3):
        names |= {f"conv{i}.conv2d": f"down{i}.convolution.conv", f"in{i}": f"down{i}.norm"}
    for i in range(1, 6):
        block = f"residuals.{i - 1}"
        names |= {f"res{i}.conv1.conv2d": f"{block}.first.convolution.conv"}
        names |= {f"res{i}.in1": f"{block}.first.norm"}
        names |= {f"res{i}.conv2.conv2d": f"{block}.second.conv", f"res{i}.in2": f"{block}.norm"}
    for i in (1, 2):
        names |= {f"deconv{i}.conv2d": f"up{i}.convolution.convolution.conv"}
        names |= {f"in{i + 3}": f"up{i}.norm"}
    return names


EXAMPLES_NAMES = _examples_names()
"""Layer of pytorch/examples -> layer of TransformerNet."""


@dataclass(frozen=True)
class NetworkFile:
    """What a file tells of its network."""

    structure: Mapping[str, Any]  # parameters of NetworkRecipe that it determines
    examples: bool = False  # it has the layout of pytorch/examples

    @property
    def undecided(self) -> list[str]:
        """Parameters of the network that the file does not determine."""
        missing = [name for name in STRUCTURE if name not in self.structure]
        if self.structure.get("upsample", "upsample_conv") != "upsample_conv":
            missing = [name for name in missing if name != "interpolation"]  # not used
        return missing


def inspect(path: Path) -> NetworkFile:
    """Return what a file tells of its network.

    Raises:
        WeightsError: It is not a network of nstbench or pytorch/examples.
    """
    shapes, recipe = describe_tensors(path)
    if "state" in recipe:
        raise WeightsError(
            f"{path.name} is the state of an unfinished training; use the model.safetensors that "
            "a finished run writes into its folder fits."
        )
    if any(name in shapes for name in OTHER_LAYOUTS):
        raise _unknown_layout(path, shapes)
    if "deconv3.conv2d.weight" in shapes:
        width = _width(path, [shapes.get(f"conv{i}.conv2d.weight", (0,))[0] for i in (1, 2, 3)])
        return NetworkFile({**EXAMPLES_STRUCTURE, "width": width}, examples=True)
    if "out.conv.weight" not in shapes:
        raise _unknown_layout(path, shapes)
    params = recipe.get("params")
    if not isinstance(params, dict):
        return NetworkFile(_structure_by_shapes(path, shapes))
    structure = {name: params[name] for name in STRUCTURE if name in params}
    try:
        TypeAdapter(NetworkRecipe).validate_python(structure)
    except ValidationError as error:
        raise recipe_error(path.name, error) from None
    return NetworkFile(structure)


def _unknown_layout(path: Path, names: Collection[str]) -> WeightsError:
    for name, project in OTHER_LAYOUTS.items():
        if name in names:
            return WeightsError(f"{path.name} is a network of {project}; {READ_FIRST}.")
    first = listed(sorted(names)[:3])
    return WeightsError(
        f"{path.name} has another layout ({first} ... of {len(names)} names); {READ_FIRST}."
    )


def _structure_by_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the parameters that decide names and shapes in a file of nstbench without recipe."""
    found = [shapes.get(f"down{i}.convolution.conv.weight", (0,))[0] for i in (1, 2, 3)]
    if "down1.norm.running_mean" in shapes:
        norm = "batch"
    else:
        norm = "instance" if "down1.norm.weight" in shapes else "none"
    if transposed := shapes.get("up1.convolution.weight"):
        upsample = {3: "conv_transpose"}.get(transposed[-1], f"conv_transpose_k{transposed[-1]}")
    else:
        shuffled = shapes.get("up1.convolution.convolution.conv.weight", (0,))[0] != found[1]
        upsample = "pixel_shuffle" if shuffled else "upsample_conv"
    return {"norm": norm, "upsample": upsample, "width": _width(path, found)}


def _width(path: Path, found: list[int]) -> float:
    """Return a width with these channels."""
    bounds = [((c - 0.5) / of, (c + 0.5) / of) for c, of in zip(found, CHANNELS, strict=True)]
    middle = (max(low for low, _ in bounds) + min(high for _, high in bounds)) / 2
    for width in (found[0] / CHANNELS[0], round(middle, 4)):
        if width > 0 and channels(width) == tuple(found):
            return width
    raise WeightsError(
        f"{path.name} has {'-'.join(map(str, found))} channels; johnson's networks have "
        f"{'-'.join(map(str, CHANNELS))} times one width."
    )


def resolve(recipe: R, given: Collection[str]) -> R:
    """Return a recipe with the network of its checkpoint.

    Args:
        recipe: Its `checkpoint` is a file.
        given: Parameters that the suite sets: the file does not change them.

    Raises:
        WeightsError: The file is not a network, contradicts a given parameter, or does not state
            one that is not given.
    """
    path = Path(recipe.checkpoint or "")
    found = inspect(path)
    check(recipe, found, given)
    if missing := [name for name in found.undecided if name not in given]:
        example = ", ".join(f"{name}: {getattr(recipe, name)}" for name in missing)
        raise WeightsError(
            f"{path.name} does not state {listed(missing)}: an earlier version of nstbench wrote "
            f"it. Set the values of the suite that trained it, for example params: {{{example}}}."
        )
    decided = {name: value for name, value in found.structure.items() if name not in given}
    return dataclasses.replace(recipe, **decided)


def check(recipe: TrainingRecipe, found: NetworkFile, given: Collection[str] = STRUCTURE) -> None:
    """Raise WeightsError if a file contradicts one of the `given` parameters."""
    wrong = {k: v for k, v in found.structure.items() if k in given and getattr(recipe, k) != v}
    if "width" in wrong and channels(wrong["width"]) == channels(recipe.width):
        del wrong["width"]  # several widths have these channels
    if not wrong:
        return
    own = _pairs({name: getattr(recipe, name) for name in wrong})
    preset = ", or use `preset: examples`" if found.examples else ""
    raise WeightsError(
        f"{Path(recipe.checkpoint or '').name} is a network with {_pairs(wrong)}; the "
        f"method has {own}. Remove {listed(wrong)} from its parameters and preset{preset}: the "
        "file decides."
    )


def tensors_of(path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a file by the names of TransformerNet, and the names of dropped ones.

    Before PyTorch 0.4 instance normalisation had `running_*` statistics, which it did not use.
    """
    tensors = load_tensors(path)
    return from_examples(tensors) if inspect(path).examples else (tensors, [])


def from_examples(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Rename the tensors of a checkpoint of pytorch/examples to those of TransformerNet.

    Returns:
        The tensors, and the names of dropped ones.
    """
    kept: dict[str, Tensor] = {}
    dropped: list[str] = []
    for name, tensor in tensors.items():
        if re.search(r"running_(mean|var)$|num_batches_tracked$", name):
            dropped.append(name)
        else:
            kept[_renamed(name, EXAMPLES_NAMES)] = tensor
    return kept, dropped


def to_examples(recipe: NetworkRecipe, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of TransformerNet to those of a checkpoint of pytorch/examples.

    That network has a linear output. The constants of the output `centered` become a part of the
    weights of the last layer, so that the result is the same up to rounding.

    Raises:
        WeightsError: The network of pytorch/examples has another structure.
    """
    expected = {**EXAMPLES_STRUCTURE, "width": 1.0}
    own = {name: getattr(recipe, name) for name in expected}
    other = {name: value for name, value in own.items() if value != expected[name]}
    if own["output"] == "centered":
        del other["output"]
    if other:
        raise WeightsError(
            f"The network has {_pairs(other)}; that of pytorch/examples has "
            f"{_pairs({name: expected[name] for name in other})}. Train one with `preset: "
            "examples`, or export this one as ONNX or TorchScript."
        )
    tensors = dict(tensors)
    if own["output"] == "centered":
        tensors["out.conv.weight"] = 127.5 * tensors["out.conv.weight"]
        tensors["out.conv.bias"] = 127.5 * (1 + tensors["out.conv.bias"])
    names = {own: theirs for theirs, own in EXAMPLES_NAMES.items()}
    return {_renamed(name, names): tensor for name, tensor in tensors.items()}


def _renamed(name: str, layers: Mapping[str, str]) -> str:
    layer, dot, tensor = name.rpartition(".")
    return f"{layers.get(layer, layer)}{dot}{tensor}"


def _pairs(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in parameters.items())
