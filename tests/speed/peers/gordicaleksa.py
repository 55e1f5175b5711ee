"""gordicaleksa/pytorch-neural-style-transfer @a244dc6: optimise an image with L-BFGS."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tests.speed.peers._checkout import (
    BudgetReached,
    discarded_output,
    import_from,
    replace_weights,
)

MEAN = (123.675, 116.28, 103.53)
"""Mean of ImageNet in grey levels, which their code subtracts."""


@dataclass
class Trace:
    """The times and images of their loop, by closure."""

    seconds: list[float] = field(default_factory=list)  # until the end of each closure
    images: dict[int, torch.Tensor] = field(default_factory=dict)  # (1, 3, H, W), [0, 1]


class Gordicaleksa:
    """Their unchanged script.

    Args:
        checkout: Root of their repository.
        network: Replaces their VGG-19 if weights of all its layers are not available. It returns
            a list of feature maps for an image.
        content: Index of the feature map of the content.
        style: Indices of the feature maps of the style.
    """

    def __init__(
        self,
        checkout: Path,
        network: torch.nn.Module | None = None,
        content: int = 0,
        style: Sequence[int] = (),
    ) -> None:
        replace_weights("vgg19", None)
        self.script = import_from(checkout, "neural_style_transfer")
        if network is not None:
            indices = ((content, "content"), (list(style), ["style"]))
            self.script.utils.prepare_model = lambda *_: (network, *indices)

    def run(
        self, folder: Path, content: Path, style: Path, height: int, closures: int,
        keep: Callable[[int], bool] = lambda index: False,
    ) -> Trace:  # fmt: skip
        """Run their loop from the content image and stop it after `closures` closures.

        Args:
            folder: Folder for files that they write.
            content: An image file.
            style: An image file.
            height: Height of both images in pixels.
            closures: Number of forward and backward passes.
            keep: Returns whether to keep the image of a closure, given its index from 0.
        """
        trace, start = Trace(), 0.0
        save = self.script.utils.save_and_maybe_display

        def save_and_record(
            image: torch.Tensor, path: Any, config: Any, index: int, *rest: Any, **more: Any
        ) -> None:
            save(image, path, config, index, *rest, **more)  # copies the image to the CPU
            trace.seconds.append(time.perf_counter() - start)
            if keep(index):
                mean = torch.tensor(MEAN).view(3, 1, 1)
                trace.images[index] = ((image.detach().cpu() + mean) / 255).clone()
            if index + 1 == closures:
                raise BudgetReached

        self.script.utils.save_and_maybe_display = save_and_record
        config = {
            "content_images_dir": str(content.parent), "content_img_name": content.name,
            "style_images_dir": str(style.parent), "style_img_name": style.name,
            "output_img_dir": str(folder), "img_format": (4, ".jpg"), "height": height,
            "content_weight": 1e5, "style_weight": 3e4, "tv_weight": 1e0, "optimizer": "lbfgs",
            "model": "vgg19", "init_method": "content", "saving_freq": -1,
        }  # fmt: skip
        start = time.perf_counter()
        try:
            with discarded_output(), contextlib.suppress(BudgetReached):
                self.script.neural_style_transfer(config)
        finally:
            self.script.utils.save_and_maybe_display = save
        return trace
