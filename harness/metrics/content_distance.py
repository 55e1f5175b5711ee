"""Content loss of the final image, computed with a held-out network.

Source: as `content_loss.py`, at the canonical layer of the held-out network.
Blind to: style; image properties that the held-out network does not represent. Without another
    network it uses the suite's encoder and is marked as circular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.metrics import content_loss
from harness.metrics._held_out_encoder import HeldOutMetric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("content_distance")
@dataclass(frozen=True, kw_only=True)
class ContentDistance(HeldOutMetric):
    """0 is the content image, 1 is the style image resized to its size."""

    version: ClassVar[int] = 2
    unit: ClassVar[str] = "relative to style image"
    better: ClassVar[Literal["lower"]] = "lower"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # as for the losses

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the ratio of two mean squared feature differences."""
        network, encoder = self.load_network(context, content)
        layer = canonical_layers(network)[1]
        return content_loss.content_distance(stylized, content, style, encoder, layer)
