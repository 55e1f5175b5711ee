"""Control: the content image with a checkerboard added, which tests its detection.

Source: a positive control, as in any assay. A gain on one phase of four is the artefact of uneven
    transposed convolutions, Odena et al. 2016 (doi 10.23915/distill.00003).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from harness.protocols import Method
from harness.registry import METHODS

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Stylizer


@METHODS.register("planted_lattice")
@dataclass(frozen=True, kw_only=True)
class PlantedLattice(Method):
    """Brighten every second pixel of every second row: a known effect that a study must detect."""

    version: ClassVar[int] = 1
    anchor: ClassVar[bool] = True

    gain: Annotated[float, Field(gt=-1, le=1)] = 0.05
    """Relative change of every fourth pixel."""

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Return a function that adds the checkerboard to the content."""

        def stylize(content: Image, context: Context) -> Image:
            planted = content.clone()
            planted[..., ::2, ::2] *= 1 + self.gain
            return planted

        return stylize
