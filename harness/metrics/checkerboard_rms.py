"""Amplitude of a checkerboard pattern, independent of its surroundings.

Source: defined here, see `_checkerboard.py`; the power of the content's pattern is subtracted. If
    its amplitude were, a pattern of 1 grey level on a content with 0.5 grey levels would score 0.6.
Blind to: patterns with periods other than 2 and 4 pixels. Texture of these periods adds to the
    score: white noise scores a thirtieth of its sigma at 256 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.metrics import _checkerboard
from harness.protocols import Metric
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image


@METRICS.register("checkerboard_rms")
@dataclass(frozen=True, kw_only=True)
class CheckerboardRms(Metric):
    """Root mean square of the added pattern; negative if the content has a stronger one."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "grey levels"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 1.0  # the smallest step of 8 bits

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the signed square root of the difference of powers."""
        patterns, content_patterns = _checkerboard.find_patterns(stylized, content)
        added = sum(p.square for p in patterns) - sum(p.square for p in content_patterns)
        return math.copysign(math.sqrt(abs(added)), added)
