"""A fixed piece of work to measure a machine by, so that times compare across machines.

One forward and backward pass of a VGG-19-shaped network with random weights up to relu5_1, on one
square image: what image optimisation does over and over. Seconds divided by it are "passes", and
transfer between devices of one class; between a CPU and a GPU they do not.
"""

from __future__ import annotations

from statistics import median

import torch

from harness.encoders.architectures import ARCHITECTURES, stages
from harness.encoders.feature_extractor import IMAGENET_MEAN, IMAGENET_STD, LayeredEncoder
from harness.execution.machine.timing import Stopwatch, until_steady

LAST = "relu5_1"
REPEATS = 3


def pass_ms(size: int, device: torch.device, precision: str) -> float:
    """Return the milliseconds of one pass, the median of REPEATS after a warm-up.

    Args:
        size: Edge of the image, pixels.
        device: Where.
        precision: Of the convolutions, `float32` or `bfloat16`.
    """
    network = _network(device, precision)
    image = torch.full((1, 3, size, size), 0.5, device=device).requires_grad_()

    def one() -> None:
        image.grad = None
        network(image, [LAST])[LAST].mean().backward()

    until_steady(one, device)
    seconds = []
    for _ in range(REPEATS):
        with Stopwatch(device) as watch:
            one()
        seconds.append(watch.seconds)
    return 1000 * median(seconds)


def _network(device: torch.device, precision: str) -> LayeredEncoder:
    generator = torch.Generator().manual_seed(0)
    row = []
    for layer, _, module in stages("vgg19", ARCHITECTURES["vgg19"].build()):
        module.to_empty(device="cpu")
        for parameter in module.parameters():
            with torch.no_grad():
                parameter.uniform_(-0.05, 0.05, generator=generator)
        row.append((layer, module))
        if layer == LAST:
            break
    dtype = getattr(torch, precision)
    return LayeredEncoder(
        "calibration", row, IMAGENET_MEAN, IMAGENET_STD, device=device, dtype=dtype
    )
