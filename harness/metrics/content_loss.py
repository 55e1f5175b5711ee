"""Content loss of the final image, the same for every method.

Source: Gatys et al. 2016, equation 1, at one canonical layer of the suite's encoder (relu4_2, or
    the nearest available), divided by the loss of the style image, resized to the content's size.
Blind to: whether the encoder is the network that the method minimised (then the score is marked as
    circular).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.metrics._minimum_size import check_size
from harness.metrics._per_image_cache import cached_per_image
from harness.metrics._similar_pair import check_features
from harness.protocols import Metric
from harness.registry import FOUND, METRICS

if TYPE_CHECKING:
    from torch import Tensor

    from harness.protocols import Context, Encoder, Image
    from harness.records import EncoderUse
    from harness.resources.weights import WeightsStore


@METRICS.register("content_loss")
@dataclass(frozen=True, kw_only=True)
class ContentLoss(Metric):
    """0 is the content image, 1 is the style image resized to its size."""

    version: ClassVar[int] = 2
    unit: ClassVar[str] = "relative to style image"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "encoder"
    effect: ClassVar[Literal["ratio"]] = "ratio"
    smallest: ClassVar[float] = 1.10  # well-tuned optimizers differ by 1.1 to 1.3
    layer: str = field(default="", metadata=FOUND)

    def resolve(self, judge: EncoderUse, weights: WeightsStore) -> ContentLoss:
        """Set the judge's canonical layer."""
        return replace(self, layer=canonical_layers(judge)[1])

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the ratio of two mean squared feature differences."""
        return content_distance(stylized, content, style, context.encoder, self.layer)


def content_distance(
    stylized: Image, content: Image, style: Image, encoder: Encoder, layer: str
) -> float:
    """Return the squared feature difference to the content, divided by that of the style image."""
    import torch
    from torch.nn.functional import interpolate, mse_loss

    with torch.inference_mode():
        check_size(encoder.name, content)
        size = (content.shape[-2], content.shape[-1])
        resized_style = interpolate(style, size, mode="bilinear", antialias=True)
        target = _cached_features(content, encoder, layer)
        style_features = _cached_features(resized_style, encoder, layer)
        check_features(target, style_features)
        scale = float(mse_loss(style_features, target))
        return float(mse_loss(_features(stylized, encoder, layer), target)) / scale


def _features(image: Image, encoder: Encoder, layer: str) -> Tensor:
    return encoder(image, [layer])[layer]


_cached_features = cached_per_image(_features)
