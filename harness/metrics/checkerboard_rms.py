"""How strong a checkerboard is, whatever its surroundings.

Source: ours, see `_lattice.py`; the content image's own is taken off as power: as amplitude, a
    pattern of 1 grey level on a content that has 0.5 by itself would read 0.6.
Blind to: patterns of other periods than 2 and 4 pixels. Texture as fine as that counts a little:
    white noise reads a thirtieth of its sigma at 256 pixels.
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
    """Root mean square of the pattern; 0 is the content's own, negative is less than that."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "grey levels"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 1.0  # the least that 8 bits can show

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the amplitude of the power that came, with its sign."""
        now, before = _checkerboard.of_both(stylized, content)
        came = sum(lattice.square for lattice in now) - sum(lattice.square for lattice in before)
        return math.copysign(math.sqrt(abs(came)), came)
