"""Style loss of the final image, the same for every method.

Source: Gatys et al. 2016, equations 3 to 5: squared Gram differences. Each layer is divided by the
    difference of the content image, so that layers have equal weight and styles can be averaged.
Blind to: arrangement, because Gram matrices are; whether the encoder is the network that the method
    minimised (then the score is marked as circular).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.metrics._gram import cached_grams, grams
from harness.metrics._minimum_size import check_size
from harness.metrics._similar_pair import check_gram
from harness.protocols import Metric
from harness.registry import FOUND, METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image
    from harness.records import EncoderUse
    from harness.resources.weights import WeightsStore


@METRICS.register("style_loss")
@dataclass(frozen=True, kw_only=True)
class StyleLoss(Metric):
    """0 has the style's statistics, 1 is the content image."""

    version: ClassVar[int] = 2
    unit: ClassVar[str] = "relative to content image"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "encoder"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # well-tuned optimizers differ by 1.1 to 1.3
    layers: tuple[str, ...] = field(default=(), metadata=FOUND)

    def resolve(self, judge: EncoderUse, weights: WeightsStore) -> StyleLoss:
        """Set the judge's canonical layers."""
        return replace(self, layers=canonical_layers(judge)[0])

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the mean over layers of the ratio of two squared Gram differences."""
        import torch

        check_size(context.encoder.name, stylized, style)
        with torch.inference_mode():
            targets = cached_grams(style, context.encoder, self.layers)
            contents = cached_grams(content, context.encoder, self.layers)
            results = grams(stylized, context.encoder, self.layers)
            for own, target in zip(contents, targets, strict=True):
                check_gram(own, target)
            ratios = [
                float((result - target).square().sum() / (own - target).square().sum())
                for result, own, target in zip(results, contents, targets, strict=True)
            ]
        return sum(ratios) / len(ratios)
