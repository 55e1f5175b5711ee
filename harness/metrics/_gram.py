"""Gram matrices for the style metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.metrics._per_image_cache import cached_per_image

if TYPE_CHECKING:
    from torch import Tensor

    from harness.protocols import Encoder, Image


def grams(image: Image, encoder: Encoder, layers: Sequence[str]) -> list[Tensor]:
    """Return a Gram matrix (1, C, C) per layer, independent of the size of the image."""
    features = encoder(image, layers)
    return [gram(features[layer]) for layer in layers]


cached_grams = cached_per_image(grams)
"""`grams` with a cache, for content and style images, which many cells share."""


def gram(features: Tensor) -> Tensor:
    """Return the channel products (N, C, C), averaged over positions."""
    flat = features.flatten(2)
    return flat @ flat.mT / flat.shape[-1]
