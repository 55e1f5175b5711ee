"""The smallest images that the networks of metrics accept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.protocols import Unavailable

if TYPE_CHECKING:
    from harness.protocols import Image

MIN_EDGE = {"alexnet": 31, "squeezenet1_1": 17, "inception_v3": 43}
"""Pixels. Smaller images have no features at the canonical layers, which are those of LPIPS too."""


def check_size(network: str, *images: Image) -> None:
    """Raise Unavailable if an image is too small for a network."""
    edge = MIN_EDGE.get(network, 0)
    for image in images:
        height, width = image.shape[-2:]
        if min(height, width) < edge:
            raise Unavailable(
                f"{network} needs at least {edge} x {edge} pixels, and an image has"
                f" {width} x {height}"
            )
