"""gordicaleksa/pytorch-neural-style-transfer @a244dc6: optimising an image with L-BFGS."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests.speed.peers._checkout import give_weights, imported, silent

MEAN = (123.675, 116.28, 103.53)


class _Enough(Exception):  # noqa: N818 - not an error
    """Their budget is written into their loop: 1000 iterations. This ends it earlier."""


@dataclass
class Trace:
    """What their loop went through."""

    seconds: list[float] = field(default_factory=list)  # of each closure, from the first one on
    images: dict[int, torch.Tensor] = field(default_factory=dict)  # closure -> (1, 3, H, W), [0, 1]


class Gordicaleksa:
    """Their script as it stands, stopped after so many closures.

    Args:
        checkout: Root of their repository.
        network: Takes the place of their VGG-19, which needs layers that are not to be had here:
            called with an image it returns feature maps, those of `style` and that of `content`.
        content: Index of the content's feature map.
        style: Indices of the style's.
    """

    def __init__(
        self,
        checkout: Path,
        network: torch.nn.Module | None = None,
        content: int = 0,
        style: Sequence[int] = (),
    ) -> None:
        give_weights("vgg19", None)
        self.script = imported(checkout, "neural_style_transfer")
        if network is not None:
            indices = ((content, "content"), (list(style), ["style"]))
            self.script.utils.prepare_model = lambda *_: (network, *indices)

    def run(
        self, folder: Path, content: Path, style: Path, height: int, closures: int,
        keep: Callable[[int], bool] = lambda index: False,
    ) -> Trace:  # fmt: skip
        """Run their loop from the content image for so many closures.

        Args:
            folder: Where they may write.
            content: An image file.
            style: An image file.
            height: Of both, pixels.
            closures: Forward and backward passes.
            keep: Tells which closures' images to keep.
        """
        trace, begun = Trace(), [0.0]
        theirs = self.script.utils.save_and_maybe_display

        def watched(
            image: torch.Tensor, path: Any, config: Any, index: int, *rest: Any, **more: Any
        ) -> None:
            theirs(image, path, config, index, *rest, **more)  # a copy to the CPU, as they do
            trace.seconds.append(time.perf_counter() - begun[0])
            if keep(index):
                mean = torch.tensor(MEAN).view(3, 1, 1)
                trace.images[index] = ((image.detach().cpu() + mean) / 255).clone()
            if index + 1 == closures:
                raise _Enough

        self.script.utils.save_and_maybe_display = watched
        config = {
            "content_images_dir": str(content.parent), "content_img_name": content.name,
            "style_images_dir": str(style.parent), "style_img_name": style.name,
            "output_img_dir": str(folder), "img_format": (4, ".jpg"), "height": height,
            "content_weight": 1e5, "style_weight": 3e4, "tv_weight": 1e0, "optimizer": "lbfgs",
            "model": "vgg19", "init_method": "content", "saving_freq": -1,
        }  # fmt: skip
        begun[0] = time.perf_counter()
        try:
            with silent():
                self.script.neural_style_transfer(config)
        except _Enough:
            pass
        finally:
            self.script.utils.save_and_maybe_display = theirs
        return trace
