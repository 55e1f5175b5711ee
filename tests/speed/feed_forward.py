"""Compare training steps, trained networks and inference with pytorch/examples.

    python -m tests.speed.feed_forward --peer PATH --photographs PATH [--weights vgg19.safetensors]

Both sides train the same transformer net with pytorch/examples' recipe (VGG-16, batch 4). Each side
loads the photographs with its own code, and that is part of the time of a step. With `--steps`,
both sides also train from the same start on the same batches; pytorch/examples' code then computes
the losses of the two nets in float32 on other batches. With `--weights`, both sides use the first
seven convolutions of VGG-19, which have the shapes of VGG-16's; deeper layers are random.
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
from harness.resources.image_folders import image_files
from harness.resources.precision import resolve
from harness.resources.training_images import Crops
from methods import _network_training
from methods._checkpoint_files import from_examples
from methods.johnson import Johnson
from tests.speed import _direct, _hardware_limit
from tests.speed._table import markdown, ratios, rounds, seconds
from tests.speed.peers.examples import Examples, TrainingTrace

RECIPE = Johnson.presets["examples"]
SHARED_CONVOLUTIONS = 15  # features.0 to features.14: conv1_1 to conv3_3 in VGG-16 and VGG-19
HELD_OUT = 32
"""Photographs that neither side trains on."""


def vgg16_weights(path: Path | None) -> dict[str, torch.Tensor]:
    """Return the convolutions that VGG-19 and VGG-16 have in common."""
    if path is None:
        return {}
    tensors = _direct.load_weights(path)
    return {k: v for k, v in tensors.items() if int(k.split(".")[1]) < SHARED_CONVOLUTIONS}


def per_step(times: list[float]) -> float:
    """Return the median seconds of a step, without the first one."""
    return float(median(np.diff(times)))


def batches_of(photographs: Path, size: int) -> Callable[..., Iterator[Image]]:
    """Return a function that yields pytorch/examples' batches: centers of photographs, in order."""
    from torchvision import transforms

    transform = transforms.Compose(
        [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    data = torchvision.datasets.ImageFolder(str(photographs), transform)

    def batches(batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
        while True:
            for images, _ in torch.utils.data.DataLoader(data, batch_size=batch_size):
                yield images

    return batches


class NstbenchTraining:
    """The training of nstbench at one precision."""

    def __init__(
        self, options: argparse.Namespace, weights: Any, precision: str, style: Path
    ) -> None:
        self.options, self.style = options, _direct.read(style)
        self.encoder = _direct.encoder("vgg16", getattr(torch, precision), weights)

    def step_times(self, count: int) -> list[float]:
        """Train on random crops and return the end time of each step."""
        size = self.options.size
        crops = Crops(list(image_files(self.options.photographs)), size, size)
        generator = torch.Generator().manual_seed(0)
        _, steps = self._train(count, lambda batch, crop, skip: crops.batches(batch, generator))
        return steps.seconds

    def train(self, count: int, batches: Any, start: dict[str, torch.Tensor]) -> Any:
        """Train `count` steps from the parameters `start` on the given batches."""
        new_network = _network_training._network

        def started_network(recipe: Johnson, context: Any) -> Any:
            network = new_network(recipe, context)
            network.load_state_dict(start)
            return network

        _network_training._network = started_network
        try:
            return self._train(count, batches)[0]
        finally:
            _network_training._network = new_network

    def _train(self, count: int, batches: Any) -> tuple[Any, _direct.StepRecorder]:
        steps = _direct.StepRecorder()
        context = _direct.context(self.encoder, self.options.size, steps, batches)
        recipe = Johnson(**{**RECIPE, "steps": count})
        return _network_training.train(recipe, self.style, context), steps


def operations(training: NstbenchTraining) -> int:
    """Return the operations of one step of the recipe, without the shortcuts of nstbench."""
    size = training.options.size
    context = _direct.context(training.encoder, size, _direct.StepRecorder())
    # Bilinear interpolation enlarges first and then convolves, as the recipe does.
    recipe = Johnson(**{**RECIPE, "interpolation": "bilinear"})
    objective = _network_training.Objective(recipe, training.style, context)
    network = _network_training._network(recipe, context)
    contents = torch.rand(4, 3, size, size)

    def step() -> None:
        objective(contents, network(contents))["total"].backward()

    return _hardware_limit.operations(step)


def compare_steps(
    peer: Examples, options: argparse.Namespace, weights: Any, folder: Path
) -> dict[str, str]:
    """Return the row of the training step."""
    fast, size = resolve("auto", "cpu"), options.size
    style = _direct.square(options.style, "style", size, folder)
    float32_side, fast_side = (
        NstbenchTraining(options, weights, precision, style) for precision in ("float32", fast)
    )
    photographs = options.photographs
    parent = photographs.parent if _has_images(photographs) else photographs
    needed = operations(fast_side)
    sides = [
        lambda: per_step(peer.train(parent, style, size, 4, folder).seconds),
        lambda: per_step(float32_side.step_times(4)),
        lambda: per_step(fast_side.step_times(4)),
        lambda: needed / _hardware_limit.products_per_second(getattr(torch, fast)),
    ]
    costs = rounds(sides, options.rounds)
    peer_seconds, float32_seconds, fast_seconds, limit = zip(*costs, strict=True)
    return {
        "work": f"a training step, batch 4, {size} px",
        "pytorch/examples": seconds(peer_seconds),
        "nstbench, float32": seconds(float32_seconds),
        f"nstbench, {fast}": seconds(fast_seconds),
        "times faster": ratios(peer_seconds, fast_seconds),
        "share of the hardware limit": ratios(limit, fast_seconds),
    }


def compare_inference(
    peer_network: Any, stylizer: Any, options: argparse.Namespace, folder: Path
) -> dict[str, str]:
    """Return the row of inference; the network and the stylizer have the same weights."""
    image = _direct.read(_direct.square(options.content, "content", 512, folder))
    context: Any = None

    def median_time(work: Callable[[], Any]) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        return median(times)

    sides = [
        lambda: median_time(lambda: peer_network(image * 255)),
        lambda: median_time(lambda: stylizer(image, context)),
    ]
    peer_seconds, fast_seconds = zip(*rounds(sides, max(5, options.rounds)), strict=True)
    peer_levels = peer_network(image * 255).clamp(0, 255)
    difference = (peer_levels - stylizer(image, context).clamp(0, 1) * 255).abs()
    return {
        "work": "inference, 512 px",
        "pytorch/examples": seconds(peer_seconds),
        f"nstbench, {resolve('auto', 'cpu')}": seconds(fast_seconds),
        "times faster": ratios(peer_seconds, fast_seconds),
        "difference": f"{float(difference.quantile(0.99)):.1f} grey levels at the 99th percentile",
    }


def held_out_loss(peer: Examples, style: Path, network: Any, batches: list[Image]) -> float:
    """Return a network's mean total loss over batches, by pytorch/examples' code in float32."""
    utils, mse = peer.script.utils, torch.nn.MSELoss()
    vgg = peer.script.Vgg16(requires_grad=False)
    with torch.no_grad():
        style_maps = vgg(utils.normalize_batch(_direct.read(style) * 255))
        grams = [utils.gram_matrix(one) for one in style_maps]
        losses = []
        for images in batches:
            content_maps = vgg(utils.normalize_batch(images * 255))
            maps = vgg(utils.normalize_batch(network(images * 255)))
            content = 1e5 * mse(maps.relu2_2, content_maps.relu2_2)
            style_losses = [mse(utils.gram_matrix(one), gram.expand(len(images), -1, -1))
                            for one, gram in zip(maps, grams, strict=True)]  # fmt: skip
            losses.append(float(content + 1e10 * sum(style_losses)))
    return mean(losses)


def to_nstbench_names(parameters: list[torch.Tensor], peer: Examples) -> dict[str, torch.Tensor]:
    """Return parameters of pytorch/examples under the names of nstbench."""
    names = [name for name, _ in peer.script.TransformerNet().named_parameters()]
    return from_examples(dict(zip(names, parameters, strict=True)))[0]


def link_photographs(options: argparse.Namespace, folder: Path) -> tuple[Path, Path]:
    """Link the photographs for training and the others into two folders of folders."""
    photographs = sorted(image_files(options.photographs))
    train, test = folder / "train", folder / "test"
    for target, files in ((train, photographs[:-HELD_OUT]), (test, photographs[-HELD_OUT:])):
        (target / "all").mkdir(parents=True, exist_ok=True)
        for file in files:
            (target / "all" / file.name).symlink_to(file.resolve())
    return train, test


def compare_training(
    peer: Examples, options: argparse.Namespace, weights: Any, folder: Path
) -> tuple[list[dict[str, str]], TrainingTrace]:
    """Train both sides; return the rows of their nets, and the training of the peer."""
    style = _direct.square(options.style, "style", options.size, folder)
    train, test = link_photographs(options, folder)
    batches = batches_of(test, options.size)(4, None)
    held_out = [next(batches) for _ in range(HELD_OUT // 4)]
    baseline = "pytorch/examples, float32"
    start = time.perf_counter()
    trace = peer.train(train, style, options.size, options.steps, folder)
    times = {baseline: time.perf_counter() - start}
    nets: dict[str, Any] = {baseline: peer.network(trace.parameters)}
    initial = to_nstbench_names(trace.start, peer)
    for precision in dict.fromkeys((resolve("auto", "cpu"), *options.also)):
        name = f"nstbench, {precision}"
        training, start = NstbenchTraining(options, weights, precision, style), time.perf_counter()
        fitted = training.train(options.steps, batches_of(train, options.size), initial)
        times[name] = time.perf_counter() - start
        nets[name] = lambda x, net=fitted.network: net(x / 255) * 255
    untrained = held_out_loss(peer, style, peer.network(trace.start), held_out)
    losses = {name: held_out_loss(peer, style, net, held_out) for name, net in nets.items()}
    rows = [
        {
            f"after {options.steps} steps, {options.size} px": name,
            "seconds": f"{times[name]:.0f}",
            f"loss on {HELD_OUT} held-out photographs": f"{loss:.5g}",
            "ratio to pytorch/examples": f"{loss / losses[baseline]:.3f}",
            "loss before training": f"{untrained:.5g}",
        }
        for name, loss in losses.items()
    ]
    return rows, trace


def _has_images(folder: Path) -> bool:
    return any(path.suffix.lower() in {".jpg", ".jpeg", ".png"} for path in folder.iterdir())


def parse_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", type=Path, required=True, help="checkout of pytorch/examples")
    parser.add_argument("--photographs", type=Path, required=True, help="a folder of images")
    parser.add_argument("--weights", type=Path, help="weights of VGG-19, at least up to relu3_3")
    _direct.add_image_options(parser)
    parser.add_argument("--size", type=int, default=256, help="pixels; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--steps",
        type=int,
        default=0,
        help="train both sides for this many steps and compare the networks",
    )
    parser.add_argument(
        "--also", nargs="*", default=[], help="more precisions to train in, such as float32"
    )
    return parser.parse_args()


def main() -> None:
    """Measure and print the tables."""
    options = parse_options()
    weights = vgg16_weights(options.weights)
    peer = Examples(options.peer, weights)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = peer.script.TransformerNet().eval().requires_grad_(False)
        if options.steps:
            rows, trace = compare_training(peer, options, weights, folder)
            print(markdown(rows), end="\n\n")
            network = peer.network(trace.parameters)
        encoder = _direct.encoder("vgg16", getattr(torch, resolve("auto", "cpu")), weights)
        context = _direct.context(encoder, 512, _direct.StepRecorder())
        parameters = to_nstbench_names(list(network.parameters()), peer)
        stylizer = _network_training.FeedForward.restore(Johnson(**RECIPE), parameters, context)
        rows = [compare_inference(network, stylizer, options, folder)]
        if options.rounds:
            rows.insert(0, compare_steps(peer, options, weights, folder))
        print(markdown(rows))


if __name__ == "__main__":
    main()
