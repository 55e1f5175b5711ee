"""Distance of the stylized image's statistics to the style's, by a network that was held out.

Source: Gram matrices of Gatys et al. 2016 per position; each layer's squared difference is divided
    by the sum of the two squares, which bounds it (Cheng et al. 2021, "Style-Aware Normalized
    Loss"), so that layers and styles weigh alike.
Blind to: arrangement, since a Gram matrix is; to what the held-out network was not trained to see.
    Where no other network can be had it looks through the suite's own, and is marked as circular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.metrics._gram import grams, grams_once
from harness.metrics._held_out_encoder import HeldOut
from harness.registry import METRICS

if TYPE_CHECKING:
    from torch import Tensor

    from harness.protocols import Context, Image


@METRICS.register("gram_distance")
@dataclass(frozen=True, kw_only=True)
class GramDistance(HeldOut):
    """In [0, 1]: 0 has the style's statistics, 1 shares no pair of channels with them."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower"]] = "lower"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.05  # a twentieth of the range

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean over layers."""
        import torch

        network, encoder = self.eye(context, stylized, style)
        layers = canonical_layers(network)[0]
        with torch.inference_mode():
            reached = grams(stylized, encoder, layers)
            wanted = grams_once(style, encoder, layers)
            distances = [distance(*pair) for pair in zip(reached, wanted, strict=True)]
        return sum(distances) / len(distances)


def distance(one: Tensor, other: Tensor) -> float:
    """Return |A - B|^2 / (|A|^2 + |B|^2), in [0, 1] where no product is negative."""
    sizes = one.square().sum() + other.square().sum()
    return float((one - other).square().sum() / sizes)
