"""Distance of the stylized image's statistics to the style's, computed with a held-out network.

Source: Gram matrices of Gatys et al. 2016, averaged over positions; the squared difference of each
    layer is divided by the sum of the two squares, which bounds it (Cheng et al. 2021, "Style-Aware
    Normalized Loss") and gives layers and styles equal weight.
Blind to: arrangement, because Gram matrices are; image properties that the held-out network does
    not represent. Without another network it uses the suite's encoder and is marked as circular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.metrics._gram import cached_grams, distance, grams
from harness.metrics._held_out_encoder import HeldOutMetric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("gram_distance")
@dataclass(frozen=True, kw_only=True)
class GramDistance(HeldOutMetric):
    """In [0, 1]; 0 has the style's statistics, 1 shares no non-zero channel product with them."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    better: ClassVar[Literal["lower"]] = "lower"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 0.05  # a twentieth of the range

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean over layers."""
        import torch

        network, encoder = self.load_network(context, stylized, style)
        layers = canonical_layers(network)[0]
        with torch.inference_mode():
            results = grams(stylized, encoder, layers)
            targets = cached_grams(style, encoder, layers)
            distances = [distance(*pair) for pair in zip(results, targets, strict=True)]
        return sum(distances) / len(distances)
