"""Content loss of the final image, the same for every method.

Source: Gatys et al. 2016, equation 1, at one canonical layer of the suite's encoder (relu4_2, or
    the nearest it has), divided by what the style image in the content's place would score.
Blind to: whether it is looked at through the network that the method minimised (then it is
    marked as circular).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from harness.encoders import canonical_layers
from harness.protocols import Unavailable
from harness.registry import METRICS

if TYPE_CHECKING:
    from harness.protocols import Context, Image
    from harness.records import EncoderUse
    from harness.weights import Shelf


@METRICS.register("content_loss")
@dataclass(frozen=True, kw_only=True)
class ContentLoss:
    """0 is the content itself, 1 is the style image shown instead of it."""

    version: ClassVar[int] = 1
    unit: ClassVar[str] = "of style image's"
    better: ClassVar[Literal["lower"]] = "lower"
    lens: ClassVar[str] = "encoder"
    layer: str = ""  # found by `equip`

    def equip(self, judge: EncoderUse, shelf: Shelf) -> ContentLoss:
        """Take the judge's canonical layer."""
        return replace(self, layer=canonical_layers(judge)[1])

    def __call__(self, stylized: Image, content: Image, style: Image, context: Context) -> float:
        """Return the ratio of two mean squared feature differences."""
        import torch
        from torch.nn.functional import interpolate, mse_loss

        with torch.inference_mode():
            size = (content.shape[-2], content.shape[-1])
            shown = interpolate(style, size, mode="bilinear", antialias=True)
            features = {
                name: context.encoder(image, [self.layer])[self.layer]
                for name, image in (("content", content), ("stylized", stylized), ("style", shown))
            }
            worst = float(mse_loss(features["style"], features["content"]))
            if worst == 0:
                raise Unavailable("content and style look the same to the encoder")
            return float(mse_loss(features["stylized"], features["content"])) / worst
