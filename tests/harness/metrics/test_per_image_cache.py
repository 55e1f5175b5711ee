"""The cache of intermediate results per image."""

from __future__ import annotations

import torch

from harness.metrics._per_image_cache import cached_per_image


def test_images_are_identified_by_their_pixels_and_shape() -> None:
    calls = []

    @cached_per_image
    def brightness(image: torch.Tensor, weight: float) -> float:
        calls.append(image)
        return weight * float(image.mean())

    image = torch.full((1, 3, 4, 4), 0.5)
    assert brightness(image, 2.0) == brightness(image.clone(), 2.0) == 1
    assert len(calls) == 1
    image[0, 0, 0, 0] = 1  # the same tensor with other pixels
    assert brightness(image, 2.0) > 1
    assert brightness(image, 1.0) < 1
    assert brightness(torch.full((1, 3, 2, 8), 0.5), 2.0) == 1  # the same bytes, another shape
    assert len(calls) == 4
