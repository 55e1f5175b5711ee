"""Content loss of the final image by a network that was held out.

Source: as `content_loss.py`, at the held-out network's canonical layer.
Blind to: style; to what the held-out network was not trained to see. Where no other network can be
    had it looks through the suite's own, and is marked as circular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.metrics import content_loss
from harness.metrics._held_out_encoder import HeldOut
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("content_distance")
@dataclass(frozen=True, kw_only=True)
class ContentDistance(HeldOut):
    """0 is the content itself, 1 is the style image shown instead of it."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "of style image's"
    better: ClassVar[Literal["lower"]] = "lower"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # as of the losses themselves

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the ratio of two mean squared feature differences."""
        network, encoder = self.eye(context, content)
        layer = canonical_layers(network)[1]
        return content_loss.content_distance(stylized, content, style, encoder, layer)
