"""A fixed piece of work that measures a machine's pace, so that times compare across machines.

It is one forward and backward pass of a VGG-19-shaped network with random weights up to relu5_1, on
one square image, as in image optimisation. Times in units of this pass compare between devices of
one class, but not between a CPU and a GPU.
"""

from __future__ import annotations

from statistics import median

import torch

from harness.encoders.architectures import ARCHITECTURES, stages
from harness.encoders.feature_extractor import IMAGENET_MEAN, IMAGENET_STD, LayeredEncoder
from harness.execution.machine.timing import Stopwatch, until_steady

LAST_LAYER = "relu5_1"
REPEATS = 3


def pass_ms(size: int, device: torch.device, precision: str) -> float:
    """Return the milliseconds of one pass, the median of REPEATS after a warm-up.

    Args:
        size: Edge of the image, pixels.
        device: The device to measure.
        precision: Of the convolutions, `float32` or `bfloat16`.
    """
    network = _network(device, precision)
    image = torch.full((1, 3, size, size), 0.5, device=device).requires_grad_()

    def run_pass() -> None:
        image.grad = None
        network(image, [LAST_LAYER])[LAST_LAYER].mean().backward()

    until_steady(run_pass, device)
    seconds = []
    for _ in range(REPEATS):
        with Stopwatch(device) as watch:
            run_pass()
        seconds.append(watch.seconds)
    return 1000 * median(seconds)


def _network(device: torch.device, precision: str) -> LayeredEncoder:
    generator = torch.Generator().manual_seed(0)
    layers = []
    for layer, _, module in stages("vgg19", ARCHITECTURES["vgg19"].build()):
        module.to_empty(device="cpu")
        for parameter in module.parameters():
            with torch.no_grad():
                parameter.uniform_(-0.05, 0.05, generator=generator)
        layers.append((layer, module))
        if layer == LAST_LAYER:
            break
    dtype = getattr(torch, precision)
    return LayeredEncoder(
        "calibration", layers, IMAGENET_MEAN, IMAGENET_STD, device=device, dtype=dtype
    )
