"""A frozen network as a sequence of named layers, evaluated only as deep as needed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from harness.errors import UnknownNameError, nearest
from harness.protocols import Image, Scale

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_LEVELS = 255 * sum(IMAGENET_STD) / 3
"""57.6: grey levels per unit of ImageNet-normalised input, averaged over the colours."""

LAYOUT = torch.channels_last
INCEPTION_MEAN, INCEPTION_STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


class LayeredEncoder:
    """Returns features by layer name. The weights are frozen.

    The first stage always runs in float32: bfloat16 pixels are half a grey level apart, which would
    hide the last steps of an optimisation.

    Weights for input in grey levels are converted once to the scale of normalised pixels. Since the
    network is positively homogeneous, dividing the first kernel and all biases by a number divides
    the features of every layer by it.
    """

    def __init__(
        self,
        name: str,
        stages: Iterable[tuple[str, nn.Module]],
        mean: Sequence[float],
        std: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name, self.dtype = name, dtype
        row = [(stage, _frozen(module)) for stage, module in stages]
        self.grey_levels = _made_for_grey_levels(row[0][1])
        if self.grey_levels:
            row = _scaled(row, 1 / GREY_LEVELS)
        self.stages = [
            (stage, module.to(device, dtype if index else torch.float32).to(memory_format=LAYOUT))
            for index, (stage, module) in enumerate(row)
        ]
        self.layers = tuple(stage for stage, _ in self.stages)
        self.mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(std, device=device).view(1, 3, 1, 1)
        self.pooling: Literal["max", "avg"] = "max"
        self.scale: Scale = "imagenet"
        self.upcast = True
        self.stand_ins: Mapping[str, str] = {}

    def with_options(
        self,
        *,
        pooling: Literal["max", "avg"] = "max",
        scale: Scale = "imagenet",
        upcast: bool = True,
    ) -> LayeredEncoder:
        """Return an encoder with the same weights and other options.

        Args:
            pooling: Replaces the network's own pooling.
            scale: Scale of the features, see `harness.protocols.Scale`.
            upcast: Return features in float32; otherwise in the encoder's `dtype`, for callers that
                accumulate in float32.
        """
        other = copy.copy(self)
        other.pooling, other.scale, other.upcast = pooling, scale, upcast
        if self.grey_levels and scale != self.scale:
            other.stages = _scaled(self.stages, GREY_LEVELS if scale == "255" else 1 / GREY_LEVELS)
        return other

    def with_stand_ins(self, stand_ins: Mapping[str, str]) -> LayeredEncoder:
        """Return an encoder that substitutes layers: requested name -> layer used."""
        other = copy.copy(self)
        other.stand_ins = stand_ins
        return other

    def __call__(self, image: Image, layers: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return features (N, C, h, w) at `layers`, in float32 unless `upcast` is off.

        `convX_Y` is the output of the convolution before its ReLU. A ReLU works in place only if
        its input is not requested.

        Raises:
            UnknownNameError: The encoder does not have a requested layer.
        """
        wanted = {self.stand_ins.get(layer, layer) for layer in layers}
        if unknown := wanted - set(self.layers):
            raise missing_layer(self.name, min(unknown), self.layers)
        found: dict[str, torch.Tensor] = {}
        features = self._normalise(image).contiguous(memory_format=LAYOUT)
        previous_kept = True  # do not overwrite the caller's image
        for stage, module in self.stages:
            features = self._apply(module, features, in_place=not previous_kept).to(self.dtype)
            previous_kept = stage in wanted
            if previous_kept:
                found[stage] = features.float() if self.upcast else features
                if len(found) == len(wanted):
                    break
        return {layer: found[self.stand_ins.get(layer, layer)] for layer in layers}

    def _normalise(self, image: Image) -> torch.Tensor:
        normal = (image - self.mean) / self.std
        return normal * GREY_LEVELS if self.scale == "255" and not self.grey_levels else normal

    def _apply(self, module: nn.Module, features: torch.Tensor, *, in_place: bool) -> torch.Tensor:
        if isinstance(module, nn.ReLU):
            return F.relu(features, inplace=in_place)
        if isinstance(module, nn.MaxPool2d) and self.pooling == "avg":
            return F.avg_pool2d(
                features, module.kernel_size, module.stride, module.padding, module.ceil_mode
            )
        out: torch.Tensor = module(features)
        return out


def _frozen(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)


def _scaled(row: Iterable[tuple[str, nn.Module]], factor: float) -> list[tuple[str, nn.Module]]:
    """Return stages whose features are `factor` times those of `row`; they share kernels."""
    scaled = []
    for index, (stage, module) in enumerate(row):
        shared = {id(p): p for name, p in module.named_parameters() if index and _kernel(name)}
        twin = copy.deepcopy(module, dict(shared))
        for name, parameter in twin.named_parameters():
            if not index or not _kernel(name):
                parameter.mul_(factor)
        scaled.append((stage, twin))
    return scaled


def _kernel(name: str) -> bool:
    return name.endswith("weight")


def _made_for_grey_levels(first: nn.Module) -> bool:
    """Return True for weights trained on grey levels and rescaled for normalised input.

    For unit noise, the output of such a first layer is in the tens (57 for Oxford's VGG-19). A
    layer that was trained on normalised pixels returns 1 or 2.
    """
    kernel = next(first.parameters())
    return float(kernel.float().pow(2).sum(dim=(1, 2, 3)).mean().sqrt()) > 10


def missing_layer(encoder: str, layer: str, layers: Sequence[str]) -> UnknownNameError:
    """Return the error for a layer that an encoder does not have."""
    convolutional = [name for name in layers if name.startswith(("relu", "conv"))] or list(layers)
    return UnknownNameError(
        f"{layer!r} is not a layer of {encoder}: its last is {convolutional[-1]!r}."
        f"{nearest(layer, layers)}"
    )
