"""Frozen feature networks by name: which one a run gets, with which weights, and why."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.downloads import file_sha256
from harness.encoders import compact
from harness.encoders.architectures import ARCHITECTURES, RANDOM_RECIPE, random_vgg, stages
from harness.errors import UnknownNameError, WeightsError, nearest
from harness.records import EncoderUse
from harness.weights import Shelf, load_tensors

if TYPE_CHECKING:
    import torch

    from harness.encoders.layered import LayeredEncoder

STYLE_LAYERS = {
    # The layers that canonical losses look at, by encoder: one per scale, as Gatys et al. chose.
    "vgg": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "squeezenet1_1": ("relu1", "fire3", "fire5", "fire8"),
    "inception_v3": ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e"),
}
CONTENT_LAYERS = {
    # The first of these that the encoder has.
    "vgg": ("relu4_2", "relu3_2", "relu2_2"),
    "squeezenet1_1": ("fire8",),
    "inception_v3": ("Mixed_6a",),
}


def find(spec: str, shelf: Shelf) -> tuple[EncoderUse, Path | None]:
    """Decide on the encoder of a run: its name, its weights' file, and what it has to say.

    Args:
        spec: `auto`, the name of an encoder, or `random:SEED`.
        shelf: Where weights are looked for.

    Raises:
        WeightsError: An encoder asked for by name whose weights cannot be had.
        UnknownNameError: No such encoder.
    """
    if spec == "auto":
        return _auto(shelf)
    name, _, seed = spec.partition(":")
    if name not in ARCHITECTURES or (seed and (name != "random" or not seed.isdigit())):
        choices = ["auto", *ARCHITECTURES, "random:SEED"]
        raise UnknownNameError(
            f"{spec!r} is not an encoder: {', '.join(choices)}.{nearest(spec, choices)}"
        )
    if name == "random":
        return _random(int(seed or 0)), None
    if name == "compact":
        sha256 = file_sha256(compact.WEIGHTS)
        return EncoderUse(name, sha256, "comes with nstbench", "", compact.LAYERS), compact.WEIGHTS
    file = shelf.find(name)
    layers = tuple(
        layer for layer, _ in _present_stages(name, load_tensors(file.path), file.path.name)
    )
    return EncoderUse(name, file.sha256, file.origin, layers=layers), file.path


def _auto(shelf: Shelf) -> tuple[EncoderUse, Path | None]:
    try:
        return find("vgg19", shelf)
    except WeightsError as error:
        use, path = find("compact", shelf)
        warning = (
            f"The small encoder `compact` stands in for VGG-19, whose features it was taught up to "
            f"relu3_4: pictures come close, numbers are its own. {error}"
        )
        return replace(use, warning=warning), path


def _random(seed: int) -> EncoderUse:
    recipe = f"{RANDOM_RECIPE}, seed {seed}"
    sha256 = hashlib.sha256(recipe.encode()).hexdigest()
    warning = "The encoder has random weights, as was asked for: pictures and losses mean little."
    return EncoderUse("random", sha256, f"seed {seed}", warning, ARCHITECTURES["random"].layers)


def load(
    use: EncoderUse,
    path: Path | None,
    *,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> LayeredEncoder:
    """Build the encoder that `find` decided on."""
    import torch

    from harness.encoders import layered

    inception = ARCHITECTURES[use.name].inception_range
    if path is None:
        network = random_vgg(int(use.origin.removeprefix("seed ")))
        row = [(layer, module) for layer, _, module in stages(use.name, network)]
    else:
        row = _present_stages(use.name, load_tensors(path), path.name)
    return layered.LayeredEncoder(
        use.name,
        row,
        layered.INCEPTION_MEAN if inception else layered.IMAGENET_MEAN,
        layered.INCEPTION_STD if inception else layered.IMAGENET_STD,
        device=device,
        dtype=getattr(torch, precision),
    )


def _present_stages(
    name: str, tensors: dict[str, torch.Tensor], file: str
) -> list[tuple[str, torch.nn.Module]]:
    """Fill the network's stages, in order, as far as the file goes."""
    row: list[tuple[str, torch.nn.Module]] = []
    for layer, prefix, module in stages(name, ARCHITECTURES[name].build()):
        expected = module.state_dict()
        own = {key: tensors[prefix + key] for key in expected if prefix + key in tensors}
        if len(own) < len([k for k in expected if not k.endswith("num_batches_tracked")]):
            break
        try:
            module.load_state_dict(own, strict=False, assign=True)
        except RuntimeError:
            shapes = {key: tuple(value.shape) for key, value in own.items()}
            raise WeightsError(
                f"{file} does not hold weights of {name}: {prefix}* has shapes {shapes}."
            ) from None
        row.append((layer, module))
    if not any(module.state_dict() for _, module in row):
        raise WeightsError(
            f"{file} does not hold weights of {name}: it has no {name}-like `features.*` keys."
        )
    return row


def canonical_layers(use: EncoderUse) -> tuple[tuple[str, ...], str]:
    """Return the style layers and the content layer that scores are taken at."""
    family = use.name if use.name in STYLE_LAYERS else "vgg"
    style = tuple(layer for layer in STYLE_LAYERS[family] if layer in use.layers)
    content = next(layer for layer in CONTENT_LAYERS[family] if layer in use.layers)
    return style, content
