"""Select, find and build the encoder of a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.encoders import compact, conventions
from harness.encoders.architectures import ARCHITECTURES, RANDOM_RECIPE, random_vgg, stages
from harness.errors import MissingWeightsError, UnknownNameError, WeightsError, nearest, quoted
from harness.records import EncoderUse
from harness.resources.downloads import file_sha256
from harness.resources.hash_cache import recall
from harness.resources.weights import WeightsFile, WeightsStore, load_tensors

if TYPE_CHECKING:
    import torch

    from harness.encoders.feature_extractor import LayeredEncoder

SEED = re.compile(r"[0-9]{1,18}")  # torch seeds have 64 bits

STYLE_LAYERS = {
    # Layers of canonical losses by encoder: one per scale, as in Gatys et al.
    "vgg": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "squeezenet1_1": ("relu1", "fire3", "fire5", "fire8"),
    "alexnet": ("relu1", "relu2", "relu3", "relu4", "relu5"),
    "inception_v3": ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e"),
}
CONTENT_LAYERS = {
    # The first one that the encoder has is used.
    "vgg": ("relu4_2", "relu3_2", "relu2_2"),
    "squeezenet1_1": ("fire8",),
    "alexnet": ("relu4",),
    "inception_v3": ("Mixed_6a",),
}


def find(spec: str, weights: WeightsStore) -> tuple[EncoderUse, Path | None]:
    """Return the encoder of a run and the file of its weights (None for random weights).

    Args:
        spec: `auto`, the name of an encoder, or `random:SEED`.
        weights: Finds the weights.

    Raises:
        WeightsError: An encoder requested by name has no weights.
        UnknownNameError: There is no such encoder.
    """
    check(spec)
    if spec == "auto":
        return _auto(weights)
    name, _, seed = spec.partition(":")
    if name == "random":
        return _random(int(seed or 0)), None
    if name == "compact":
        sha256 = file_sha256(compact.WEIGHTS)
        return EncoderUse(name, sha256, "comes with nstbench", "", compact.LAYERS), compact.WEIGHTS
    file = weights.find(name)
    layers, convention = _inspect(name, file)
    use = EncoderUse(name, file.sha256, file.origin, layers=tuple(layers))
    if convention == conventions.TORCHVISION.name:
        return use, file.path
    # The features differ from those of the same file without the conversion, so the hash does too.
    recipe = f"{file.sha256} converted from {convention}, version 1"
    sha256 = hashlib.sha256(recipe.encode()).hexdigest()
    return replace(
        use, sha256=sha256, origin=f"{file.origin}, converted from {convention}"
    ), file.path


def converted(use: EncoderUse, path: Path) -> bool:
    """Return True if `load` converts the first kernel of a file to torchvision's convention."""
    return use.sha256 != file_sha256(path)


def _inspect(name: str, file: WeightsFile) -> tuple[list[str], str]:
    """Return the layers that a file has weights for, and its input convention; both are cached."""

    def inspect(path: Path) -> str:
        row, convention = _read(name, path)
        return f"{' '.join(layer for layer, _ in row)}|{convention.name}"

    # The result depends on the file, on the layer names and on the conventions of this version.
    known_layers = " ".join(ARCHITECTURES[name].layers)
    question = f"layers (version 2) and convention of {name} in {file.sha256} among {known_layers}"
    layers, convention = recall([file.path], question, inspect)[0].split("|")
    return layers.split(), convention


def _read(
    name: str, path: Path
) -> tuple[list[tuple[str, torch.nn.Module]], conventions.Convention]:
    """Load the stages of a network, the first one for normalised RGB input."""
    row = _present_stages(name, _torchvision_names(load_tensors(path)), path.name)
    first = row[0][1].state_dict()
    if name not in conventions.FIRST_BIASES or not first:
        return row, conventions.TORCHVISION
    convention = conventions.recognise(name, file_sha256(path), first, path.name)
    if convention != conventions.TORCHVISION:
        first["weight"] = convention.convert(first["weight"].float())
        row[0][1].load_state_dict(first, assign=True)
    return row, convention


def check(spec: str) -> None:
    """Raise UnknownNameError unless `spec` names an encoder; its weights may be missing."""
    name, _, seed = spec.partition(":")
    choices = ["auto", *ARCHITECTURES, "random:SEED"]
    if name not in choices or (seed and (name != "random" or not SEED.fullmatch(seed))):
        raise UnknownNameError(
            f"{quoted(spec)} is not an encoder: {', '.join(choices)}.{nearest(spec, choices)}"
        )


def _auto(weights: WeightsStore) -> tuple[EncoderUse, Path | None]:
    try:
        return find("vgg19", weights)
    except MissingWeightsError as error:
        use, path = find("compact", weights)
        warning = (
            "The encoder compact replaces VGG-19 and approximates its features up to relu3_4: "
            f"images are similar, losses are not comparable. {error}"
        )
        return replace(use, warning=warning), path


def _random(seed: int) -> EncoderUse:
    recipe = f"{RANDOM_RECIPE}, seed {seed}"
    sha256 = hashlib.sha256(recipe.encode()).hexdigest()
    warning = "The encoder has random weights, as requested: images and losses are not meaningful."
    return EncoderUse("random", sha256, f"seed {seed}", warning, ARCHITECTURES["random"].layers)


def whole(use: EncoderUse) -> bool:
    """Return True if all stages of the encoder have weights."""
    return use.layers == ARCHITECTURES[use.name].layers


def load(
    use: EncoderUse,
    path: Path | None,
    *,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> LayeredEncoder:
    """Build the encoder that `find` returned."""
    import torch

    from harness.encoders import feature_extractor

    inception = ARCHITECTURES[use.name].inception_range
    mean = feature_extractor.INCEPTION_MEAN if inception else feature_extractor.IMAGENET_MEAN
    if path is None:
        network = random_vgg(int(use.origin.removeprefix("seed ")))
        row = [(layer, module) for layer, _, module in stages(use.name, network)]
    else:
        row, convention = _read(use.name, path)
        mean = mean if inception else convention.mean
    return feature_extractor.LayeredEncoder(
        use.name,
        row,
        mean,
        feature_extractor.INCEPTION_STD if inception else feature_extractor.IMAGENET_STD,
        device=device,
        dtype=getattr(torch, precision),
    )


def _torchvision_names(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors by torchvision's names, also those of `features` alone."""
    if tensors and all(name[:1].isdigit() for name in tensors):
        return {f"features.{name}": tensor for name, tensor in tensors.items()}
    return tensors


def _present_stages(
    name: str, tensors: dict[str, torch.Tensor], file: str
) -> list[tuple[str, torch.nn.Module]]:
    """Load the network's stages in order, as far as the file has them; ignore the classifier."""
    row: list[tuple[str, torch.nn.Module]] = []
    lacking, unknown = "", {key for key in tensors if key.startswith("features.")}
    for layer, prefix, module in stages(name, ARCHITECTURES[name].build()):
        unknown -= {prefix + key for key in module.state_dict()}
        wanted = [k for k in module.state_dict() if not k.endswith("num_batches_tracked")]
        own = {key: tensors[prefix + key] for key in wanted if prefix + key in tensors}
        if lacking and own:
            raise WeightsError(
                f"{file} has {prefix}{next(iter(own))}, but not {lacking}, which comes before it."
            )
        if lacking or len(own) < len(wanted):
            lacking = lacking or next(prefix + key for key in wanted if key not in own)
            continue
        try:
            module.load_state_dict(own, strict=False, assign=True)
        except RuntimeError:
            shapes = {key: tuple(value.shape) for key, value in own.items()}
            raise WeightsError(
                f"{file} does not contain weights of {name}: {prefix}* has shapes {shapes}."
            ) from None
        row.append((layer, module))
    if not any(module.state_dict() for _, module in row):
        raise WeightsError(
            f"{file} does not contain weights of {name}: {lacking} is missing. The file has "
            f"{', '.join([*tensors][:3])} and so on."
        )
    if unknown:
        raise WeightsError(
            f"{file} contains weights of another network: {name} has no {min(unknown)}."
        )
    return row


def canonical_layers(use: EncoderUse) -> tuple[tuple[str, ...], str]:
    """Return the style layers and the content layer that metrics use."""
    family = use.name if use.name in STYLE_LAYERS else "vgg"
    style = tuple(layer for layer in STYLE_LAYERS[family] if layer in use.layers)
    content = [layer for layer in CONTENT_LAYERS[family] if layer in use.layers]
    if not content:
        raise WeightsError(
            f"{use.name} ({use.origin}) ends at {use.layers[-1]}: metrics need at least "
            f"{CONTENT_LAYERS[family][-1]}."
        )
    return style, content[0]


def replacement_layers(method: Any, layers: Sequence[str]) -> dict[str, str]:
    """Return substitutes for layers that a method uses and the encoder does not have.

    Args:
        method: Its `stand_in_layers` maps layers to their substitutes.
        layers: All layers of the encoder.
    """
    substitutes = method.stand_in_layers
    missing = (layer for layer in method.layers if layer not in layers)
    return {layer: substitutes[layer] for layer in missing if substitutes.get(layer) in layers}
