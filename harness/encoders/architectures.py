"""Architectures of the encoders: torchvision's networks, divided into named stages.

Layers have their usual names: `relu4_2` is the ReLU after the second convolution of the fourth
block, `conv4_2` is its input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.encoders import compact

if TYPE_CHECKING:
    from torch import nn

VGG19_BLOCKS, VGG16_BLOCKS = (2, 2, 4, 4, 4), (2, 2, 3, 3, 3)
VGG_CHANNELS = (64, 128, 256, 512, 512)
RANDOM_CHANNELS = (24, 48, 96, 128, 128)
RANDOM_RECIPE = f"VGG-19 with channels {RANDOM_CHANNELS}, He-normal weights, zero biases, version 1"


@dataclass(frozen=True)
class Architecture:
    """Builder of a network, and the names of its stages in order."""

    layers: tuple[str, ...]
    build: Callable[[], nn.Module]  # on the meta device, without memory
    inception_range: bool = False  # trained on [-1, 1] instead of ImageNet's mean and deviation


def _vgg_layers(blocks: Sequence[int]) -> tuple[str, ...]:
    return tuple(
        name
        for block, convolutions in enumerate(blocks, 1)
        for name in (
            *(
                f"{kind}{block}_{i}"
                for i in range(1, convolutions + 1)
                for kind in ("conv", "relu")
            ),
            f"pool{block}",
        )
    )


def _torchvision(name: str) -> nn.Module:
    import torch
    import torchvision

    with torch.device("meta"):
        arguments = {"init_weights": False} if name == "inception_v3" else {}
        network: nn.Module = getattr(torchvision.models, name)(weights=None, **arguments)
    return network


SQUEEZENET_LAYERS = (
    "conv1", "relu1", "pool1", "fire2", "fire3", "pool3", "fire4", "fire5", "pool5",
    "fire6", "fire7", "fire8", "fire9",
)  # fmt: skip
ALEXNET_LAYERS = (
    "conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3", "conv4", "relu4",
    "conv5", "relu5", "pool5",
)  # fmt: skip
INCEPTION_LAYERS = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1",
    "Conv2d_4a_3x3", "maxpool2", "Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b",
    "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c",
)  # fmt: skip

ARCHITECTURES = {
    "vgg19": Architecture(_vgg_layers(VGG19_BLOCKS), lambda: _vgg(VGG19_BLOCKS, VGG_CHANNELS)),
    "vgg16": Architecture(_vgg_layers(VGG16_BLOCKS), lambda: _vgg(VGG16_BLOCKS, VGG_CHANNELS)),
    "squeezenet1_1": Architecture(SQUEEZENET_LAYERS, lambda: _torchvision("squeezenet1_1")),
    "alexnet": Architecture(ALEXNET_LAYERS, lambda: _torchvision("alexnet")),
    "inception_v3": Architecture(
        INCEPTION_LAYERS, lambda: _torchvision("inception_v3"), inception_range=True
    ),
    "compact": Architecture(compact.LAYERS, compact.build),
    "random": Architecture(_vgg_layers(VGG19_BLOCKS), lambda: random_vgg(0)),
}


def stages(name: str, network: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield (layer name, prefix of its keys in a state_dict, module) in order."""
    layers = ARCHITECTURES[name].layers
    if name == "inception_v3":
        yield from ((layer, f"{layer}.", network.get_submodule(layer)) for layer in layers)
        return
    features = network.get_submodule("features")
    for (index, module), layer in zip(features.named_children(), layers, strict=True):
        yield layer, f"features.{index}.", module


def random_vgg(seed: int) -> nn.Module:
    """Build a narrow VGG-19 with He-normal weights drawn from `seed`.

    Source: He, Wang, Hopcroft 2016 (arXiv 1606.04801): random weights suffice for style transfer.
    Deviations: fewer channels than VGG-19, by a factor of about 2.7 in the first three blocks and
        of 4 in the last two.
    """
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(seed)
    network = _vgg(VGG19_BLOCKS, RANDOM_CHANNELS).to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            deviation = math.sqrt(2 / (9 * module.in_channels))
            with torch.no_grad():
                module.weight.normal_(0, deviation, generator=generator)
                nn.init.zeros_(module.get_parameter("bias"))
    return network


def _vgg(blocks: Sequence[int], channels: Sequence[int]) -> nn.Module:
    """Build the convolutions of a VGG with torchvision's parameter names.

    It does not import torchvision, which would add 1.5 s to the start of every worker.
    """
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    before = 3
    with torch.device("meta"):
        for convolutions, width in zip(blocks, channels, strict=True):
            for _ in range(convolutions):
                modules += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            modules.append(nn.MaxPool2d(2, 2))
    network = nn.Module()
    network.features = nn.Sequential(*modules)
    return network
