"""Anchor: the content image with the colours of the style image.

Source: Reinhard et al. 2001, "Color Transfer between Images": mean and standard deviation of each
    channel.
Deviations: CIE Lab by scikit-image instead of Ruderman's l-alpha-beta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from harness.protocols import Method
from harness.registry import METHODS

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Stylizer


@METHODS.register("color_match")
@dataclass(frozen=True, kw_only=True)
class ColorMatch(Method):
    """Give the content the style's mean and standard deviation of each Lab channel."""

    version: ClassVar[int] = 1
    anchor: ClassVar[bool] = True

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Compute the mean and the standard deviation of the style."""
        import torch
        from skimage.color import lab2rgb, rgb2lab

        target = rgb2lab(style[0].permute(1, 2, 0).cpu().numpy())
        mean, deviation = target.mean((0, 1)), target.std((0, 1))

        def stylize(content: Image, context: Context) -> Image:
            lab = rgb2lab(content[0].permute(1, 2, 0).cpu().numpy())
            spread = lab.std((0, 1)).clip(min=1e-6)  # an image of one colour has no deviation
            matched = lab2rgb((lab - lab.mean((0, 1))) / spread * deviation + mean)
            return torch.from_numpy(matched).permute(2, 0, 1).unsqueeze(0).to(content)

        return stylize
