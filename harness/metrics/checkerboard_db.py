"""How far a checkerboard stands out of its surroundings in the spectrum.

Source: ours, see `_lattice.py`; the period that stands out most counts, and what the content image
    scores by itself is taken off.
Blind to: patterns of other periods than 2 and 4 pixels; whether the eye minds, since a faint
    pattern in a smooth image stands out as far as a strong one in a rough image: a blur leaves it
    as it is. Resizing the image erases it altogether.
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
    """0 is no more than the content has; a gain of 1 % on every fourth pixel reads about 13."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "dB"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "pixels"
    effect: ClassVar[Literal["difference"]] = "difference"
    smallest: ClassVar[float] = 3.0  # twice the power; noise moves a single image by as much

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the score of the stylized image less that of the content image."""
        now, before = _checkerboard.of_both(stylized, content)
        return _score(now) - _score(before)


def _score(lattices: Sequence[_checkerboard.Lattice]) -> float:
    return max(lattice.decibels for lattice in lattices)
