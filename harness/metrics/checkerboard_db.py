"""Power of a checkerboard pattern relative to its surroundings in the spectrum.

Source: defined here, see `_checkerboard.py`; the score is that of the strongest period, minus the
    score of the content image.
Blind to: patterns with periods other than 2 and 4 pixels; visibility, because a faint pattern in a
    smooth image scores like a strong one in a rough image, and a blur does not change the score.
    Resizing the image removes the pattern from the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.metrics import _checkerboard
from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("checkerboard_db")
@dataclass(frozen=True, kw_only=True)
class CheckerboardDb(Metric):
    """0 is equal to the content; an image with every fourth pixel 1 % brighter scores about 13."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "dB"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 3.0  # twice the power; noise changes a score by as much

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the score of the stylized image minus that of the content image."""
        patterns, content_patterns = _checkerboard.find_patterns(stylized, content)
        return _score(patterns) - _score(content_patterns)


def _score(patterns: Sequence[_checkerboard.Pattern]) -> float:
    return max(pattern.decibels for pattern in patterns)
