"""The test for scores that are divided by the difference between content and style.

If content and style are copies of one image, their difference is noise of compression or rounding,
and the score of any stylization is a large number without meaning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.metrics._gram import distance
from harness.protocols import Unavailable

if TYPE_CHECKING:
    from torch import Tensor

MIN_FEATURES = 0.05
"""The smallest |A - B|^2 / (|A|^2 + |B|^2) of features.

Measured at 64 to 512 pixels with VGG-19 and SqueezeNet: copies of another size, format or quality
(JPEG 75, WebP, AVIF, GIF) have 0.042 at most; a photograph and a painting have 0.40 at least, black
and white 0.14. One grey level of noise has 0.0005: it changes a score by 0.01 at most."""

MIN_GRAM = 0.005
"""The same for the Gram matrices of each layer: copies have 0.0013 at most in the layer where they
are closest, a photograph and a painting 0.078 at least; one grey level of noise has 0.00001."""


def check_features(content: Tensor, style: Tensor) -> None:
    """Raise Unavailable if the features of content and style are nearly the same."""
    _check(distance(content, style), MIN_FEATURES, "features")


def check_gram(content: Tensor, style: Tensor) -> None:
    """Raise Unavailable if the Gram matrices of content and style are nearly the same."""
    _check(distance(content, style), MIN_GRAM, "Gram matrices")


def _check(difference: float, least: float, what: str) -> None:
    if not difference >= least:  # NaN if both are zero
        raise Unavailable(
            f"content and style are nearly the same image: their {what} differ by"
            f" {difference:.2g} (at least {least:g} is needed)"
        )
