"""The nstbench side of the comparisons: methods with an encoder, without the harness."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image as Pillow

from harness.encoders.architectures import stages
from harness.encoders.feature_extractor import IMAGENET_MEAN, IMAGENET_STD, LayeredEncoder
from harness.protocols import Context, Image, Step


def encoder(name: str, dtype: torch.dtype, weights: dict[str, torch.Tensor] | None = None) -> Any:
    """Return torchvision's network `name` with weights, or with random ones from seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(torchvision.models, name)(weights=None)
    if weights is not None:
        network.load_state_dict(weights, strict=False)
    row = [(layer, module) for layer, _, module in stages(name, network)]
    return LayeredEncoder(name, row, IMAGENET_MEAN, IMAGENET_STD, dtype=dtype)


class Watch:
    """Collects steps, their times, and the images of the steps that `keep` selects."""

    def __init__(self, keep: Callable[[int], bool] = lambda index: False) -> None:
        self.keep = keep
        self.seconds: list[float] = []
        self.steps: list[Step] = []
        self.images: dict[int, Image] = {}
        self.started = time.perf_counter()

    def __call__(self, step: Step) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        if step.image is not None and self.keep(step.index):
            self.images[step.index] = step.image.detach().clone()
        self.steps.append(replace(step, image=None))

    @property
    def losses(self) -> list[float]:
        return [float(step.losses["total"]) for step in self.steps]


def context(
    look: Any, size: int, watch: Watch, batches: Callable[..., Iterator[Image]] | None = None
) -> Context:
    """Return a context with an encoder and an observer of steps."""
    return Context(
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(0),
        encoder=look,
        size=size,
        on_step=watch,
        batches=batches,  # type: ignore[arg-type]
        note=lambda text: None,
    )


def read(path: Path) -> Image:
    """Return the image of a file, without resizing."""
    with Pillow.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
