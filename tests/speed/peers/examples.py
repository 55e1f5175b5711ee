"""pytorch/examples @77f55b9, fast_neural_style: training and using a transformer net."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from tests.speed.peers._checkout import give_weights, imported, silent


class _Enough(Exception):  # noqa: N818 - not an error
    """Their training ends with its epochs. This ends it earlier."""


class Examples:
    """Their scripts as they stand; training stops after so many steps.

    Args:
        checkout: Root of their repository, or its folder fast_neural_style.
        weights: Of VGG-16, in torchvision's names; layers that are missing are random.
    """

    def __init__(self, checkout: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
        give_weights("vgg16", weights)
        scripts = sorted(checkout.glob("**/neural_style/neural_style.py"))
        folder = scripts[0].parent if scripts else checkout
        self.script = imported(folder, "neural_style")

    def train(self, photographs: Path, style: Path, size: int, steps: int, out: Path) -> Trained:
        """Run their training from seed 42 for so many steps.

        Args:
            photographs: A folder with a folder of images in it.
            style: An image file, used at its native size.
            size: Of the training images, pixels.
            steps: How many.
            out: Where they may write.
        """
        trained = Trained()
        kept = self.script.Adam

        class Counting(kept):  # type: ignore[misc, valid-type]
            def __init__(self, parameters: Any, rate: float) -> None:
                super().__init__(parameters, rate)
                trained.parameters = self.param_groups[0]["params"]
                trained.start = [one.detach().clone() for one in trained.parameters]

            def step(self, closure: Any = None) -> Any:
                found = super().step(closure)
                trained.seconds.append(time.perf_counter())
                if len(trained.seconds) == steps:
                    raise _Enough
                return found

        self.script.Adam = Counting
        arguments = Namespace(
            accel=False, seed=42, image_size=size, dataset=str(photographs), batch_size=4, lr=1e-3,
            style_image=str(style), style_size=None, epochs=10_000, content_weight=1e5,
            style_weight=1e10, log_interval=500, checkpoint_model_dir=None, save_model_dir=str(out),
        )  # fmt: skip
        try:
            with silent():
                self.script.train(arguments)
        except _Enough:
            pass
        finally:
            self.script.Adam = kept
        return trained

    def network(self, parameters: list[torch.Tensor]) -> torch.nn.Module:
        """Return their network with these parameters."""
        network: torch.nn.Module = self.script.TransformerNet()
        for own, given in zip(network.parameters(), parameters, strict=True):
            own.data.copy_(given)
        return network.eval().requires_grad_(False)


class Trained:
    """What their training began with, came to, and took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []  # on the clock, at the end of each step
        self.start: list[torch.Tensor] = []
        self.parameters: list[torch.Tensor] = []
