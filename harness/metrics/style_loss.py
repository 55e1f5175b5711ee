"""Style loss of the final image, the same for every method.

Source: Gatys et al. 2016, equations 3 to 5: squared Gram differences, each layer's divided by that
    of the untouched content image, so that layers weigh alike and styles can be averaged.
Blind to: arrangement, since a Gram matrix is; and to whether it is looked at through the network
    that the method minimised (then it is marked as circular).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.metrics._gram import grams, grams_once
from harness.protocols import Metric, Unavailable
from harness.registry import FOUND, METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image
    from harness.records import EncoderUse
    from harness.resources.weights import WeightsStore


@METRICS.register("style_loss")
@dataclass(frozen=True, kw_only=True)
class StyleLoss(Metric):
    """0 has the style's statistics, 1 is the content image untouched."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "of content image's"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "encoder"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # well-tuned optimisers are 1.1 to 1.3 apart
    layers: tuple[str, ...] = field(default=(), metadata=FOUND)

    def resolve(self, judge: EncoderUse, weights: WeightsStore) -> StyleLoss:
        """Take the judge's canonical layers."""
        return replace(self, layers=canonical_layers(judge)[0])

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean over layers of the ratio of two squared Gram differences."""
        import torch

        with torch.inference_mode():
            wanted = grams_once(style, context.encoder, self.layers)
            untouched = grams_once(content, context.encoder, self.layers)
            reached = grams(stylized, context.encoder, self.layers)
            ratios = [
                float((now - goal).square().sum() / (before - goal).square().sum())
                for now, before, goal in zip(reached, untouched, wanted, strict=True)
            ]
        if not all(ratio < float("inf") for ratio in ratios):
            raise Unavailable("content and style have the same statistics")
        return sum(ratios) / len(ratios)
