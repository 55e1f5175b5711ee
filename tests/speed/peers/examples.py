"""pytorch/examples @77f55b9, fast_neural_style: train and use a transformer net."""

from __future__ import annotations

import contextlib
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from tests.speed.peers._checkout import (
    BudgetReached,
    discarded_output,
    import_from,
    replace_weights,
)


class TrainingTrace:
    """The parameters before and after a training, and the end times of its steps."""

    def __init__(self) -> None:
        self.seconds: list[float] = []  # of the performance counter, at the end of each step
        self.start: list[torch.Tensor] = []
        self.parameters: list[torch.Tensor] = []


class Examples:
    """Their unchanged scripts.

    Args:
        checkout: Root of their repository, or its folder fast_neural_style.
        weights: Weights of VGG-16 with torchvision's names; missing layers are random.
    """

    def __init__(self, checkout: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
        replace_weights("vgg16", weights)
        scripts = sorted(checkout.glob("**/neural_style/neural_style.py"))
        folder = scripts[0].parent if scripts else checkout
        self.script = import_from(folder, "neural_style")

    def train(
        self, photographs: Path, style: Path, size: int, steps: int, out: Path
    ) -> TrainingTrace:
        """Run their training from seed 42 and stop it after `steps` steps.

        Args:
            photographs: A folder that contains a folder of images.
            style: An image file, used at its native size.
            size: Size of the training images in pixels.
            steps: Number of steps.
            out: Folder for files that they write.
        """
        trace = TrainingTrace()
        adam = self.script.Adam

        class CountingAdam(adam):  # type: ignore[misc, valid-type]
            def __init__(self, parameters: Any, rate: float) -> None:
                super().__init__(parameters, rate)
                trace.parameters = self.param_groups[0]["params"]
                trace.start = [one.detach().clone() for one in trace.parameters]

            def step(self, closure: Any = None) -> Any:
                result = super().step(closure)
                trace.seconds.append(time.perf_counter())
                if len(trace.seconds) == steps:
                    raise BudgetReached
                return result

        self.script.Adam = CountingAdam
        arguments = Namespace(
            accel=False, seed=42, image_size=size, dataset=str(photographs), batch_size=4, lr=1e-3,
            style_image=str(style), style_size=None, epochs=10_000, content_weight=1e5,
            style_weight=1e10, log_interval=500, checkpoint_model_dir=None, save_model_dir=str(out),
        )  # fmt: skip
        try:
            with discarded_output(), contextlib.suppress(BudgetReached):
                self.script.train(arguments)
        finally:
            self.script.Adam = adam
        return trace

    def network(self, parameters: list[torch.Tensor]) -> torch.nn.Module:
        """Return their network with the given parameters."""
        network: torch.nn.Module = self.script.TransformerNet()
        for own, given in zip(network.parameters(), parameters, strict=True):
            own.data.copy_(given)
        return network.eval().requires_grad_(False)
