"""Gram matrices that scores of style compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.metrics._per_image_cache import once_per_image

if TYPE_CHECKING:
    from torch import Tensor

    from harness.protocols import Encoder, Image


def grams(image: Image, encoder: Encoder, layers: Sequence[str]) -> list[Tensor]:
    """Return a Gram matrix (1, C, C) per layer, a mean over positions: sizes may differ."""
    found = encoder(image, layers)
    return [gram(found[layer]) for layer in layers]


grams_once = once_per_image(grams)
"""`grams` of a content or style image."""


def gram(features: Tensor) -> Tensor:
    """Return the products of channels (N, C, C), averaged over positions."""
    flat = features.flatten(2)
    return flat @ flat.mT / flat.shape[-1]
