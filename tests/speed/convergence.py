"""Measure the seconds until nstbench reaches the final loss of gordicaleksa's loop.

    python -m tests.speed.convergence --peer PATH --weights vgg19.safetensors

gordicaleksa's loop runs a number of closures in float32 from the content image. nstbench minimises
the same objective with the solver of `gatys` until its loss is within 2 % of the peer's. The loss
is that of the saved image, which is clamped and rounded to 8 bits. The table also shows the loss
of the raw pixels. Weights of VGG-19 may end at relu3_4: the style layers are relu1_1, relu2_1,
relu3_1, relu3_2 and relu3_4, the content layer is relu3_2. gordicaleksa's code computes all losses
in float32; that time is not measured.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision

from harness.protocols import Image
from harness.resources.images import to_pixels, to_tensor
from harness.resources.precision import resolve
from methods.gatys import Gatys
from tests.speed import _direct
from tests.speed._direct import VGG19_CONTENT, VGG19_STYLE
from tests.speed._table import markdown
from tests.speed.passes import RECIPE
from tests.speed.peers.gordicaleksa import MEAN, Gordicaleksa

CONTENT_INDEX, STYLE_INDICES = list(VGG19_STYLE).index(VGG19_CONTENT), range(len(VGG19_STYLE))
INTERVAL = 10
"""Passes between two evaluated images."""

TOLERANCE = 1.02
"""Factor of the peer's loss that nstbench has to reach."""


class PartialVgg19(torch.nn.Module):
    """torchvision's VGG-19 up to relu3_4, with the interface of gordicaleksa's."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        network = torchvision.models.vgg19(weights=None)
        network.load_state_dict(weights, strict=False)
        self.features = network.features[: max(VGG19_STYLE.values()) + 1].requires_grad_(False)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the feature maps of the style layers, which include the content layer."""
        maps = []
        for index, module in enumerate(self.features):
            image = module(image)
            if index in VGG19_STYLE.values():
                maps.append(image)
        return maps


class PeerObjective:
    """gordicaleksa's objective for images in [0, 1]."""

    def __init__(
        self, peer: Gordicaleksa, network: PartialVgg19, content: Path, style: Path
    ) -> None:
        self.peer, self.network = peer, network
        with torch.no_grad():
            content_maps, style_maps = (
                network(_direct.read(path) * 255 - _mean()) for path in (content, style)
            )
        grams = [peer.script.utils.gram_matrix(one) for one in style_maps]
        self.targets = [content_maps[CONTENT_INDEX].squeeze(0), grams]

    def __call__(self, image: torch.Tensor) -> float:
        """Return the total loss."""
        weights = {"content_weight": 1e5, "style_weight": 3e4, "tv_weight": 1.0}
        pixels = image.reshape(1, *image.shape[-3:]) * 255 - _mean()
        with torch.no_grad():
            total, *_ = self.peer.script.build_loss(
                self.network, pixels, self.targets, CONTENT_INDEX, STYLE_INDICES, weights
            )
        return float(total)


def _mean() -> torch.Tensor:
    return torch.tensor(MEAN).view(1, 3, 1, 1)


@dataclass
class Run:
    """Losses by pass, computed by gordicaleksa's code, and the seconds until each pass."""

    seconds: dict[int, float]
    saved: dict[int, float]  # losses of the image rounded to 8 bits
    raw: dict[int, float]  # losses of the pixels before they are clamped and rounded

    @classmethod
    def evaluate(
        cls, objective: PeerObjective, seconds: list[float], images: dict[int, Image]
    ) -> Run:
        """Compute the losses of images by pass, before and after saving."""
        return cls(
            dict(enumerate(seconds, 1)),
            {index: objective(to_tensor(to_pixels(image))) for index, image in images.items()},
            {index: objective(image) for index, image in images.items()},
        )

    def first_below(self, loss: float) -> tuple[int, float] | None:
        """Return the first pass with a saved loss of at most `loss`, and its seconds."""
        passes = (index for index in sorted(self.saved) if self.saved[index] <= loss)
        first = next(passes, None)
        return None if first is None else (first, self.seconds[first])


def run_peer(
    peer: Gordicaleksa, objective: PeerObjective, folder: Path, files: list[Path], closures: int
) -> Run:
    """Run gordicaleksa's loop."""
    content, style = files
    height = _direct.read(content).shape[-2]

    def keep(index: int) -> bool:
        return (index + 1) % INTERVAL == 0 or index + 1 == closures

    trace = peer.run(folder, content, style, height, closures, keep)
    images = {index + 1: image for index, image in trace.images.items()}
    return Run.evaluate(objective, trace.seconds, images)


def run_nstbench(
    weights: Any, objective: PeerObjective, files: list[Path], precision: str, params: Any
) -> Run:
    """Run the solver of nstbench on gordicaleksa's objective."""
    content, style = map(_direct.read, files)
    layers = {"style_layers": tuple(VGG19_STYLE), "content_layers": (VGG19_CONTENT,)}
    recipe = Gatys(**{**RECIPE, **layers, **params})
    steps = _direct.StepRecorder(keep=lambda index: index % INTERVAL == 0)
    encoder = _direct.encoder("vgg19", getattr(torch, precision), weights)
    context = _direct.context(encoder, content.shape[-1], steps)
    recipe.fit(style, context)(content, context)
    return Run.evaluate(objective, steps.seconds, steps.images)


def compare(options: argparse.Namespace, size: int) -> list[dict[str, str]]:
    """Return the rows of one size: one for each number of closures."""
    weights = _direct.load_weights(options.weights)
    network, closures = PartialVgg19(weights), max(options.closures)
    peer = Gordicaleksa(options.peer, network, CONTENT_INDEX, STYLE_INDICES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [
            _direct.square(getattr(options, kind), kind, size, folder)
            for kind in ("content", "style")
        ]
        objective = PeerObjective(peer, network, *files)
        peer_run = run_peer(peer, objective, folder, files, closures)
        params = {"iterations": closures, "history": options.history}
        runs = {
            precision: run_nstbench(weights, objective, files, precision, params)
            for precision in options.precisions
        }
    return [_row(size, closures, peer_run, runs) for closures in options.closures]


def _row(size: int, closures: int, peer: Run, runs: dict[str, Run]) -> dict[str, str]:
    loss, seconds = peer.saved[closures], peer.seconds[closures]
    row = {
        "size": f"{size} px",
        "gordicaleksa, float32": f"{closures} closures, {seconds:.0f} s, loss {loss:.3g} "
        f"(raw {peer.raw[closures]:.3g})",
    }
    for precision, run in runs.items():
        reached = run.first_below(TOLERANCE * loss)
        row[f"nstbench, {precision}: within 2 % after"] = (
            f"{reached[0]} passes, {reached[1]:.0f} s: {seconds / reached[1]:.1f} times faster"
            if reached
            else f"not within {max(run.saved)} passes: "
            f"lowest loss {min(run.saved.values()) / loss:.2f} times gordicaleksa's"
        )
        row[f"nstbench, {precision}, after as many passes"] = (
            f"loss {run.saved[closures]:.3g} (raw {run.raw[closures]:.3g})"
        )
    return row


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="checkout of gordicaleksa's code")
    parser.add_argument(
        "--weights", type=Path, required=True, help="weights of VGG-19, at least up to relu3_4"
    )
    _direct.add_image_options(parser)
    parser.add_argument(
        "--closures",
        type=int,
        nargs="+",
        default=[100, 200, 300, 500],
        help="closures of gordicaleksa's loop, multiples of 10; nstbench runs as many passes as "
        "the largest number",
    )
    fast = resolve("auto", "cpu")
    parser.add_argument(
        "--precisions", nargs="+", default=[fast, "float32"], help="precisions of nstbench"
    )
    parser.add_argument(
        "--history",
        type=int,
        default=50,
        help="history of nstbench's L-BFGS; gordicaleksa's has 100; default: %(default)s",
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="pixels")
    options = parser.parse_args()
    print(markdown([row for size in options.sizes for row in compare(options, size)]))


if __name__ == "__main__":
    main()
