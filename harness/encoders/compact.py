r"""`compact`: VGG-19 up to relu3_4, channel for channel, in a fifth of its weights.

The default encoder on machines without pretrained weights. It is distilled from VGG-19, see
`distill`.

What      473,152 parameters in half precision. Every layer approximates VGG-19's 64, 128 or 256
          channels one by one, so loss weights stay valid. All convolutions after the first have
          low rank (RANKS): few maps, mixed by a 1x1 convolution.
Teacher   VGG-19, K. Simonyan and A. Zisserman, Oxford; weights under CC BY 4.0. Layers to relu3_4.
Data      300 photographs of BSDS500 (train, val; research use), 12 of scikit-image's and 18 of the
          project's own procedural studies; no painting. Crops of 64 px with mixed colours,
          sharpening and noise.
Made      21 November 2026, reduced-rank regression and 6000 steps of 8 crops, seed 0, 19 minutes
          on two cores, by
          python -m harness.encoders.distill --teacher vgg19-conv1_1-conv3_4.safetensors \
              --photos BSDS500
Errors    Relative squared, 96 crops of 128 px of held-out photographs (BSDS500's test):
          layer    features  Gram
          relu1_1    0.0000  0.0000
          relu1_2    0.0056  0.0014
          relu2_1    0.0163  0.0030
          relu2_2    0.0216  0.0054
          relu3_1    0.0532  0.0125
          relu3_2    0.0753  0.0185
          relu3_3    0.0551  0.0134
          relu3_4    0.0516  0.0144
Judged    By VGG-19, on images that `gatys` optimised through `compact` (suites/compact.yaml: 6 x 6
          pairs, 150 passes, 192 px) against those optimised through VGG-19, geometric means with
          95 % intervals: style loss 1.29 [1.17, 1.44] times, content loss 1.00 [0.99, 1.01] times,
          time 0.57 [0.54, 0.60]: Gram matrices cost the same, only convolutions are fewer.
Limits    It has no layers deeper than relu3_4. Do not publish scores that use it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

BLOCKS, CHANNELS = (2, 2, 4), (64, 128, 256)
RANKS = {
    # Rank of each convolution. It costs 1 to 6 % of the energy of VGG-19's features per layer, and
    # keeps the file below 1 MB.
    "conv1_2": 16, "conv2_1": 32, "conv2_2": 48,
    "conv3_1": 56, "conv3_2": 48, "conv3_3": 32, "conv3_4": 36,
}  # fmt: skip
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
    """Build the network on the meta device, without memory or initialisation."""
    import torch
    from torch import nn

    modules: list[nn.Module] = []
    before = 3
    with torch.device("meta"):
        for layer in LAYERS:
            if layer.startswith("conv"):
                width = CHANNELS[int(layer[4]) - 1]
                modules.append(_convolution(before, width, RANKS.get(layer)))
                before = width
            else:
                modules.append(nn.ReLU() if layer.startswith("relu") else nn.MaxPool2d(2, 2))
    network = nn.Module()
    network.features = nn.Sequential(*modules)
    return network


def _convolution(inward: int, out: int, rank: int | None) -> nn.Module:
    """Return a 3x3 convolution, or one of rank `rank` that a 1x1 convolution follows."""
    from torch import nn

    if rank is None:
        return nn.Conv2d(inward, out, 3, padding=1)
    narrow = nn.Conv2d(inward, rank, 3, padding=1, bias=False)
    return nn.Sequential(narrow, nn.Conv2d(rank, out, 1))
