"""Compare training steps, trained networks and inference with pytorch/examples.

    python -m tests.speed.feed_forward --peer PATH --photographs PATH [--weights vgg19.safetensors]

Both train the same transformer net with pytorch/examples' recipe (VGG-16, batch 4). Steps are timed
on the photographs as either side loads them. `--steps` trains both from the same start on the same
batches and has their own code judge the two nets, in float32, on batches that neither saw. With
--weights, the first seven convolutions of VGG-19 stand for those of VGG-16, which are of the same
make; what lies deeper is random, on both sides.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
import torchvision

from harness.protocols import Image
from harness.resources.images import image_files
from harness.resources.precision import resolve
from harness.resources.training_images import Crops
from harness.resources.weights import load_tensors
from methods import _network_training
from methods._transformer_net import from_examples
from methods.johnson import Johnson
from tests.speed import _hardware_limit, _nstbench_side
from tests.speed._images import add_options, square
from tests.speed._table import markdown, ratios, rounds, seconds
from tests.speed.convergence import torchvisions_scale
from tests.speed.peers.examples import Examples, Trained

RECIPE = Johnson.presets["examples"]
SHARED_CONVOLUTIONS = 15  # features.0 to features.14: conv1_1 to conv3_3 in VGG-16 and VGG-19


def vgg16_weights(path: Path | None) -> dict[str, torch.Tensor]:
    """Return the convolutions that VGG-19 and VGG-16 have in common."""
    if path is None:
        return {}
    tensors = torchvisions_scale(load_tensors(path))
    return {k: v for k, v in tensors.items() if int(k.split(".")[1]) < SHARED_CONVOLUTIONS}


def per_step(times: list[float]) -> float:
    """Return the median seconds of a step, without the first one."""
    return float(median(np.diff(times)))


def batches_of(photographs: Path, size: int) -> Callable[..., Iterator[Image]]:
    """Return pytorch/examples' own batches, as Images: middles of photographs, in order."""
    from torchvision import transforms

    shape = transforms.Compose(
        [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    data = torchvision.datasets.ImageFolder(str(photographs), shape)

    def batches(batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
        while True:
            for images, _ in torch.utils.data.DataLoader(data, batch_size=batch_size):
                yield images

    return batches


class Side:
    """The training of nstbench at one precision."""

    def __init__(
        self, given: argparse.Namespace, weights: Any, precision: str, style: Path
    ) -> None:
        self.given, self.style = given, _nstbench_side.read(style)
        self.encoder = _nstbench_side.encoder("vgg16", getattr(torch, precision), weights)

    def steps(self, count: int) -> list[float]:
        """Train on random crops and return the end time of each step."""
        crops = Crops(list(image_files(self.given.photographs)), self.given.size, self.given.size)
        generator = torch.Generator().manual_seed(0)
        return self._train(count, lambda batch, crop, skip: crops.batches(batch, generator))[
            1
        ].seconds

    def trained(self, count: int, batches: Any, start: dict[str, torch.Tensor]) -> Any:
        """Train from the given start on the given batches."""
        fresh = _network_training._network

        def same(recipe: Johnson, context: Any) -> Any:
            network = fresh(recipe, context)
            network.load_state_dict(start)
            return network

        _network_training._network = same
        try:
            return self._train(count, batches)[0]
        finally:
            _network_training._network = fresh

    def _train(self, count: int, batches: Any) -> tuple[Any, _nstbench_side.Watch]:
        watch = _nstbench_side.Watch()
        context = _nstbench_side.context(self.encoder, self.given.size, watch, batches)
        recipe = Johnson(**{**RECIPE, "steps": count})
        return _network_training.train(recipe, self.style, context), watch


def operations(side: Side) -> int:
    """Return what one step multiplies and adds, as the recipe says it: no shortcut of ours."""
    size = side.given.size
    context = _nstbench_side.context(side.encoder, size, _nstbench_side.Watch())
    recipe = Johnson(**{**RECIPE, "interpolation": "bilinear"})  # enlarges, then convolves
    objective = _network_training.Objective(recipe, side.style, context)
    network = _network_training._network(recipe, context)
    contents = torch.rand(4, 3, size, size)

    def step() -> None:
        objective(contents, network(contents))["total"].backward()

    return _hardware_limit.operations(step)


def compare_steps(theirs: Examples, given: argparse.Namespace, weights: Any, folder: Path) -> Any:
    """Return the row of the training step."""
    fast, style = resolve("auto", "cpu"), square(given.style, "style", given.size, folder)
    exact, quick = (Side(given, weights, name, style) for name in ("float32", fast))
    parent = given.photographs.parent if _holds_images(given.photographs) else given.photographs
    needed = operations(quick)
    sides = [
        lambda: per_step(theirs.train(parent, style, given.size, 4, folder).seconds),
        lambda: per_step(exact.steps(4)),
        lambda: per_step(quick.steps(4)),
        lambda: needed / _hardware_limit.products_per_second(getattr(torch, fast)),
    ]
    peers, exacts, quicks, floors = zip(*rounds(sides, given.rounds), strict=True)
    return {
        "work": f"a training step, batch 4, {given.size} px",
        "pytorch/examples": seconds(peers),
        "ours, float32": seconds(exacts),
        f"ours, {fast}": seconds(quicks),
        "times faster": ratios(peers, quicks),
        "share of the floor": ratios(floors, quicks),
    }


def compare_inference(theirs: Any, ours: Any, given: argparse.Namespace, folder: Path) -> Any:
    """Return the row of inference; `theirs` and `ours` are networks with the same weights."""
    image = _nstbench_side.read(square(given.content, "content", 512, folder))
    context: Any = None

    def timed(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        return median(times)

    peers, quicks = zip(
        *rounds(
            [
                lambda: timed(lambda: theirs(image * 255)),
                lambda: timed(lambda: ours(image, context)),
            ],
            max(5, given.rounds),
        ),
        strict=True,
    )
    levels = (theirs(image * 255).clamp(0, 255) - ours(image, context).clamp(0, 1) * 255).abs()
    return {
        "work": "inference, 512 px",
        "pytorch/examples": seconds(peers),
        f"ours, {resolve('auto', 'cpu')}": seconds(quicks),
        "times faster": ratios(peers, quicks),
        "difference": f"{float(levels.quantile(0.99)):.1f} grey levels at the 99th percentile",
    }


def judged(theirs: Examples, style: Path, network: Any, held_out: list[Image]) -> float:
    """Return a network's mean total loss over batches, by pytorch/examples' code in float32."""
    utils, mse = theirs.script.utils, torch.nn.MSELoss()
    vgg = theirs.script.Vgg16(requires_grad=False)
    with torch.no_grad():
        painted = vgg(utils.normalize_batch(_nstbench_side.read(style) * 255))
        grams = [utils.gram_matrix(one) for one in painted]
        losses = []
        for images in held_out:
            seen = vgg(utils.normalize_batch(images * 255))
            made = vgg(utils.normalize_batch(network(images * 255)))
            content = 1e5 * mse(made.relu2_2, seen.relu2_2)
            gaps = [mse(utils.gram_matrix(one), g.expand(len(images), -1, -1))
                    for one, g in zip(made, grams, strict=True)]  # fmt: skip
            losses.append(float(content + 1e10 * sum(gaps)))
    return mean(losses)


def named(parameters: list[torch.Tensor], theirs: Examples) -> dict[str, torch.Tensor]:
    """Return the parameters of pytorch/examples under the names of nstbench."""
    names = [name for name, _ in theirs.script.TransformerNet().named_parameters()]
    return from_examples(dict(zip(names, parameters, strict=True)))[0]


def compare_training(
    theirs: Examples, given: argparse.Namespace, weights: Any, folder: Path
) -> tuple[list[dict[str, str]], Trained]:
    """Train both; return what their code says of the nets, and their net."""
    style = square(given.style, "style", given.size, folder)
    photographs = sorted(image_files(given.photographs))
    seen, unseen = folder / "seen" / "all", folder / "unseen" / "all"
    for target, files in ((seen, photographs[:-32]), (unseen, photographs[-32:])):
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            (target / file.name).symlink_to(file.resolve())
    batches = batches_of(unseen.parent, given.size)(4, None)
    held_out = [next(batches) for _ in range(8)]
    begin = time.perf_counter()
    peer = theirs.train(seen.parent, style, given.size, given.steps, folder)
    took = {"pytorch/examples, float32": time.perf_counter() - begin}
    start = named(peer.start, theirs)
    nets = {"pytorch/examples, float32": theirs.network(peer.parameters)}
    for precision in dict.fromkeys((resolve("auto", "cpu"), *given.also)):
        side, begin = Side(given, weights, precision, style), time.perf_counter()
        found = side.trained(given.steps, batches_of(seen.parent, given.size), start)
        took[f"ours, {precision}"] = time.perf_counter() - begin
        nets[f"ours, {precision}"] = lambda x, net=found.network: net(x / 255) * 255
    first = judged(theirs, style, theirs.network(peer.start), held_out)
    losses = {who: judged(theirs, style, net, held_out) for who, net in nets.items()}
    base = losses["pytorch/examples, float32"]
    rows = [
        {
            f"after {given.steps} steps, {given.size} px": who,
            "seconds": f"{took[who]:.0f}",
            "loss on 32 photographs that none saw": f"{loss:.5g}",
            "to theirs": f"{loss / base:.3f}",
            "before training": f"{first:.5g}",
        }
        for who, loss in losses.items()
    ]
    return rows, peer


def _holds_images(folder: Path) -> bool:
    return any(path.suffix.lower() in {".jpg", ".jpeg", ".png"} for path in folder.iterdir())


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="pytorch/examples' checkout")
    parser.add_argument("--photographs", type=Path, required=True, help="a folder of images")
    parser.add_argument("--weights", type=Path, help="weights of VGG-19, at least up to relu3_3")
    add_options(parser)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        help="train both sides for this many steps and compare the networks",
    )
    parser.add_argument(
        "--also", nargs="*", default=[], help="further precisions to train in, such as float32"
    )
    given = parser.parse_args()
    weights = vgg16_weights(given.weights)
    theirs = Examples(given.peer, weights)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = theirs.script.TransformerNet().eval().requires_grad_(False)
        if given.steps:
            rows, trained = compare_training(theirs, given, weights, folder)
            print(markdown(rows), end="\n\n")
            network = theirs.network(trained.parameters)
        look = _nstbench_side.encoder("vgg16", getattr(torch, resolve("auto", "cpu")), weights)
        context = _nstbench_side.context(look, 512, _nstbench_side.Watch())
        own = named(list(network.parameters()), theirs)
        ours = _network_training.FeedForward.restore(Johnson(**RECIPE), own, context)
        rows = [compare_inference(network, ours, given, folder)]
        if given.rounds:
            rows.insert(0, compare_steps(theirs, given, weights, folder))
        print(markdown(rows))


if __name__ == "__main__":
    main()
