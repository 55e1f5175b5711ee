"""Measure the seconds until nstbench reaches the final loss of gordicaleksa's loop.

    python -m tests.speed.convergence --peer PATH --weights vgg19.safetensors

Their loop runs so many closures in float32 from the content image. Ours minimises the same
objective with `gatys`' own solver until it is within 2 % of where theirs was then. The loss is that
of the image as it is saved, clamped and rounded to 8 bits; the loss of the raw pixels, which no
picture shows, stands beside it. Weights that end early serve: style at relu1_1, 2_1, 3_1, 3_2, 3_4,
content at relu3_2. All images are judged by their own code, in float32; judging is outside the
clocks.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision

from harness.encoders.feature_extractor import GREY_LEVELS
from harness.protocols import Image
from harness.resources.images import to_pixels, to_tensor
from harness.resources.precision import resolve
from harness.resources.weights import load_tensors
from methods.gatys import Gatys
from tests.speed import _nstbench_side
from tests.speed._images import add_options, square
from tests.speed._table import markdown
from tests.speed.passes import RECIPE
from tests.speed.peers.gordicaleksa import MEAN, Gordicaleksa

STYLE = {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu3_2": 13, "relu3_4": 17}
CONTENT = "relu3_2"
EVERY = 10
WITHIN = 1.02


class Cut(torch.nn.Module):
    """torchvision's VGG-19 up to relu3_4, with the interface of gordicaleksa's."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        network = torchvision.models.vgg19(weights=None)
        network.load_state_dict(weights, strict=False)
        self.features = network.features[: max(STYLE.values()) + 1].requires_grad_(False)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the style's feature maps; the content's is one of them."""
        maps = []
        for index, module in enumerate(self.features):
            image = module(image)
            if index in STYLE.values():
                maps.append(image)
        return maps


@dataclass
class Run:
    """Losses by pass, computed by gordicaleksa's code, and the seconds until each."""

    seconds: dict[int, float]
    losses: dict[int, float]  # of the saved image
    raw: dict[int, float]  # of the pixels before they are clamped and rounded

    @classmethod
    def judged(cls, judge: Judge, seconds: list[float], images: dict[int, Image]) -> Run:
        """Compute the losses of images by pass, before and after saving."""
        return cls(
            dict(enumerate(seconds, 1)),
            {index: judge(as_saved(image)) for index, image in images.items()},
            {index: judge(image) for index, image in images.items()},
        )

    def until(self, loss: float) -> tuple[int, float] | None:
        """Return the first pass, and its seconds, at which the loss was no higher."""
        reached = (index for index in sorted(self.losses) if self.losses[index] <= loss)
        first = next(reached, None)
        return None if first is None else (first, self.seconds[first])


class Judge:
    """Their objective, called with images in [0, 1]."""

    def __init__(self, theirs: Gordicaleksa, network: Cut, content: Path, style: Path) -> None:
        self.theirs, self.network = theirs, network
        prepared = [_nstbench_side.read(path) * 255 - _mean() for path in (content, style)]
        with torch.no_grad():
            seen, painted = network(prepared[0]), network(prepared[1])
        grams = [theirs.script.utils.gram_matrix(one) for one in painted]
        self.targets = [seen[list(STYLE).index(CONTENT)].squeeze(0), grams]

    def __call__(self, image: torch.Tensor) -> float:
        """Return the total loss."""
        weights = {"content_weight": 1e5, "style_weight": 3e4, "tv_weight": 1.0}
        where = (list(STYLE).index(CONTENT), range(len(STYLE)))
        pixels = image.reshape(1, *image.shape[-3:]) * 255 - _mean()
        with torch.no_grad():
            build = self.theirs.script.build_loss
            total, *_ = build(self.network, pixels, self.targets, *where, weights)
        return float(total)


def as_saved(image: Image) -> Image:
    """Return an image rounded to 8 bits."""
    return to_tensor(to_pixels(image))


def _mean() -> torch.Tensor:
    return torch.tensor(MEAN).view(1, 3, 1, 1)


def theirs_runs(peer: Gordicaleksa, judge: Judge, folder: Path, files: Any, closures: int) -> Run:
    """Run gordicaleksa's loop."""
    height = _nstbench_side.read(files[0]).shape[-2]
    trace = peer.run(
        folder, *files, height, closures, lambda i: (i + 1) % EVERY == 0 or i + 1 == closures
    )
    images = {index + 1: image for index, image in trace.images.items()}
    return Run.judged(judge, trace.seconds, images)


def ours_runs(weights: Any, judge: Judge, files: Any, precision: str, params: Any) -> Run:
    """Run the solver of nstbench on gordicaleksa's objective."""
    content, style = map(_nstbench_side.read, files)
    recipe = Gatys(**{
        **RECIPE,
        "style_layers": tuple(STYLE), "content_layers": (CONTENT,), **params,
    })  # fmt: skip
    watch = _nstbench_side.Watch(keep=lambda index: index % EVERY == 0)
    look = _nstbench_side.encoder("vgg19", getattr(torch, precision), weights)
    context = _nstbench_side.context(look, content.shape[-1], watch)
    recipe.fit(style, context)(content, context)
    return Run.judged(judge, watch.seconds, watch.images)


def torchvisions_scale(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights whose activations on normalized pixels match torchvision's.

    Oxford's, rescaled to take normalised pixels, answer with grey levels: a first kernel and all
    biases divided by 57.6 divide every layer by it.
    """
    first = weights["features.0.weight"]
    if float(first.square().sum(dim=(1, 2, 3)).mean().sqrt()) < 10:
        return weights
    return {
        key: tensor / GREY_LEVELS if key.endswith("bias") or tensor is first else tensor
        for key, tensor in weights.items()
    }


def compare(given: argparse.Namespace, size: int) -> list[dict[str, str]]:
    """Return the rows of one size: one for each of gordicaleksa's budgets."""
    weights = torchvisions_scale(load_tensors(given.weights))
    network, most = Cut(weights), max(given.closures)
    where = (list(STYLE).index(CONTENT), range(len(STYLE)))
    peer = Gordicaleksa(given.peer, network, *where)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [square(getattr(given, k), k, size, folder) for k in ("content", "style")]
        judge = Judge(peer, network, *files)
        theirs = theirs_runs(peer, judge, folder, files, most)
        params = {"iterations": most, "history": given.history}
        ours = {
            precision: ours_runs(weights, judge, files, precision, params)
            for precision in given.precisions
        }
    return [_row(size, closures, theirs, ours) for closures in given.closures]


def _row(size: int, closures: int, theirs: Run, ours: dict[str, Run]) -> dict[str, str]:
    loss, seconds = theirs.losses[closures], theirs.seconds[closures]
    row = {
        "size": f"{size} px",
        "gordicaleksa, float32": f"{closures} closures, {seconds:.0f} s, loss {loss:.3g} "
        f"(raw {theirs.raw[closures]:.3g})",
    }
    for precision, run in ours.items():
        reached = run.until(WITHIN * loss)
        row[f"ours, {precision}: within 2 % after"] = (
            f"{reached[0]} passes, {reached[1]:.0f} s: {seconds / reached[1]:.1f} times fewer"
            if reached
            else f"not in {max(run.losses)} passes: {min(run.losses.values()) / loss:.2f} of it"
        )
        row[f"ours, {precision}, at as many passes"] = (
            f"loss {run.losses[closures]:.3g} (raw {run.raw[closures]:.3g})"
        )
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="gordicaleksa's checkout")
    parser.add_argument(
        "--weights", type=Path, required=True, help="weights of VGG-19, at least up to relu3_4"
    )
    add_options(parser)
    parser.add_argument(
        "--closures",
        type=int,
        nargs="+",
        default=[100, 200, 300, 500],
        help="of theirs, multiples of 10; ours gets as many passes as the largest",
    )
    fast = resolve("auto", "cpu")
    parser.add_argument("--precisions", nargs="+", default=[fast, "float32"])
    parser.add_argument("--history", type=int, default=50, help="of ours; theirs is 100")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    given = parser.parse_args()
    print(markdown([row for size in given.sizes for row in compare(given, size)]))


if __name__ == "__main__":
    main()
