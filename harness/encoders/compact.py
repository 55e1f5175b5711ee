"""CARD: written at the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

BLOCKS, CHANNELS = (2, 2, 4), (32, 48, 96)
WEIGHTS = Path(__file__).with_name("compact.safetensors")
LAYERS = tuple(
    name
    for block, convolutions in enumerate(BLOCKS, 1)
    for name in (
        *(f"{kind}{block}_{i}" for i in range(1, convolutions + 1) for kind in ("conv", "relu")),
        *([f"pool{block}"] if block < len(BLOCKS) else []),
    )
)


def build() -> nn.Module:
    """Build the network on the meta device: no memory, no initialisation."""
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    before = 3
    with torch.device("meta"):
        for layer in LAYERS:
            if layer.startswith("conv"):
                width = CHANNELS[int(layer[4]) - 1]
                modules.append(nn.Conv2d(before, width, 3, padding=1))
                before = width
            else:
                modules.append(nn.ReLU() if layer.startswith("relu") else nn.MaxPool2d(2, 2))
    network = nn.Module()
    network.features = nn.Sequential(*modules)
    return network
