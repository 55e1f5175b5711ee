"""Call the methods of nstbench directly, without the harness: images, encoder and context."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image as Pillow

from harness.encoders.architectures import stages
from harness.encoders.feature_extractor import (
    GREY_LEVELS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    LayeredEncoder,
)
from harness.protocols import Context, Image, Step
from harness.resources.images import skimage_photograph
from harness.resources.stand_ins import paint
from harness.resources.weights import load_tensors

VGG19_STYLE = {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu3_2": 13, "relu3_4": 17}
"""Style layers of VGG-19 and their indices in torchvision's `features`, for partial weights."""

VGG19_CONTENT = "relu3_2"


def add_image_options(parser: ArgumentParser) -> None:
    """Add options for the user's own image files."""
    for kind in ("content", "style"):
        parser.add_argument(f"--{kind}", type=Path, help="an image file; default: a packaged image")


def square(source: Path | None, kind: str, size: int, folder: Path) -> Path:
    """Write the central square of an image as a PNG and return its path.

    Args:
        source: An image file, or None for a packaged photograph or stand-in.
        kind: `content` or `style`.
        size: Side in pixels.
        folder: Folder of the written file.
    """
    if source is not None:
        picture = Pillow.open(source).convert("RGB")
    elif kind == "content":
        picture = Pillow.open(skimage_photograph("astronaut")).convert("RGB")
    else:
        picture = Pillow.fromarray(paint("starry-night", 1024, 1024))
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    middle = picture.crop((left, top, left + side, top + side))
    path = folder / f"{kind}-{size}.png"
    middle.resize((size, size), Pillow.Resampling.LANCZOS).save(path)
    return path


def read(path: Path) -> Image:
    """Return the image of a file, without resizing."""
    with Pillow.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return weights whose activations on normalised pixels have the scale of torchvision's.

    Oxford's weights, rescaled for normalised pixels, give activations in grey levels. Dividing the
    first kernel and all biases by 57.6 divides every layer by it.
    """
    weights = load_tensors(path)
    first = weights["features.0.weight"]
    if float(first.square().sum(dim=(1, 2, 3)).mean().sqrt()) < 10:
        return weights
    return {
        key: tensor / GREY_LEVELS if key.endswith("bias") or tensor is first else tensor
        for key, tensor in weights.items()
    }


def encoder(name: str, dtype: torch.dtype, weights: dict[str, torch.Tensor] | None = None) -> Any:
    """Return torchvision's network `name` with weights, or with random ones from seed 0."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = getattr(torchvision.models, name)(weights=None)
    if weights is not None:
        network.load_state_dict(weights, strict=False)
    layers = [(layer, module) for layer, _, module in stages(name, network)]
    return LayeredEncoder(name, layers, IMAGENET_MEAN, IMAGENET_STD, dtype=dtype)


class StepRecorder:
    """Records the times of steps, and the images of the steps that `keep` selects."""

    def __init__(self, keep: Callable[[int], bool] = lambda index: False) -> None:
        self.keep = keep
        self.seconds: list[float] = []
        self.images: dict[int, Image] = {}
        self.started = time.perf_counter()

    def __call__(self, step: Step) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        if step.image is not None and self.keep(step.index):
            self.images[step.index] = step.image.detach().clone()


def context(
    encoder: Any,
    size: int,
    on_step: Callable[[Step], None],
    batches: Callable[..., Iterator[Image]] | None = None,
) -> Context:
    """Return a context on the CPU with seed 0."""
    return Context(
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(0),
        encoder=encoder,
        size=size,
        on_step=on_step,
        batches=batches,  # type: ignore[arg-type]
        note=lambda text: None,
    )
