"""Gram matrices for the style metrics, and their distance."""

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


def distance(one: Tensor, other: Tensor) -> float:
    """Return |A - B|^2 / (|A|^2 + |B|^2), in [0, 1] if no product is negative."""
    sizes = one.square().sum() + other.square().sum()
    return float((one - other).square().sum() / sizes)


def gram(features: Tensor) -> Tensor:
    """Return the channel products (N, C, C), averaged over positions."""
    flat = features.flatten(2)
    return flat @ flat.mT / flat.shape[-1]
