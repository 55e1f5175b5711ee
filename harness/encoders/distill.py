"""Train `compact`, the packaged encoder, to see pictures as VGG-19 does.

Two losses, each relative to what it is compared with, at positions drawn anew in every step:
- features: the student's, through a learned linear adapter, against the teacher's;
- kernel: inner products of the features at any two positions, student's against teacher's. Content
  losses and distances of Gram matrices are sums of these, so the student's own come out right
  without an adapter, which nobody has at hand once it stylizes.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from harness import studies
from harness.downloads import Network
from harness.encoders import compact, find, load
from harness.encoders.layered import IMAGENET_MEAN, IMAGENET_STD
from harness.images import PHOTOGRAPHS, TEXTURES, image_files, read, skimage_photograph
from harness.weights import Shelf

if TYPE_CHECKING:
    from harness.protocols import Encoder, Image

    Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (H, W, 3)

MATCHED = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_4")
RELUS = tuple(layer for layer in compact.LAYERS if layer.startswith("relu"))
HELD_OUT = "test"  # the folder of photographs that errors are measured on
STUDY_SEEDS, STUDY_SIZE = (1, 2), (480, 360)  # seed 0 paints the stand-ins of suites
EXPERIMENT, POINTS = "compact-encoder", 200  # of each curve


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of."""

    steps: int = 6000
    seed: int = 0
    crop: int = 64
    batch: int = 8
    positions: int = 768  # that features are compared at, per layer and step
    pairs: int = 384  # of these, compared with each other
    muon_rate: float = 0.04
    adam_rate: float = 3e-3  # of biases and adapters
    warm_up: int = 100  # steps; the rates fall to zero from there
    average: float = 0.998  # of the weights, exponential


class Student(nn.Module):
    """The compact network and, for training only, its adapters to the teacher's channels."""

    def __init__(self, channels: Mapping[str, int], generator: torch.Generator) -> None:
        super().__init__()
        self.network = compact.build().to_empty(device="cpu")
        own = {layer: compact.CHANNELS[int(layer[4]) - 1] for layer in channels}
        self.adapters = nn.ModuleDict({k: nn.Linear(own[k], c) for k, c in channels.items()})
        for parameter in self.parameters():
            gain = parameter.dim() / 2 / parameter[0].numel()  # He's where a ReLU follows, else 1
            std = 0.0 if parameter.dim() == 1 else gain**0.5
            nn.init.normal_(parameter, std=std, generator=generator)

    def forward(self, image: Image) -> dict[str, Tensor]:
        """Return the features by layer."""
        mean, std = (torch.tensor(t).view(1, 3, 1, 1) for t in (IMAGENET_MEAN, IMAGENET_STD))
        features = ((image - mean) / std).contiguous(memory_format=torch.channels_last)
        found, row = {}, self.network.get_submodule("features").children()
        with torch.autocast("cpu", torch.bfloat16):
            for layer, module in zip(compact.LAYERS, row, strict=True):
                found[layer] = features = module(features)
        return found

    @torch.no_grad()
    def follow(self, other: Student, share: float) -> None:
        """Take a share of another's weights."""
        for mine, theirs in zip(self.parameters(), other.parameters(), strict=True):
            mine.lerp_(theirs, share)

    @torch.no_grad()
    def rescale(self, teacher: Encoder, images: Image) -> None:
        """Make every ReLU's root mean square the teacher's; nothing else changes."""
        own, theirs, before = self(images), teacher(images, RELUS), torch.ones(())
        kernels = [m for m in self.network.modules() if isinstance(m, nn.Conv2d)]
        for layer, convolution in zip(RELUS, kernels, strict=True):
            now = (theirs[layer].square().mean() / own[layer].float().square().mean()).sqrt()
            convolution.weight *= now / before
            convolution.get_parameter("bias").mul_(now)
            if layer in self.adapters:
                self.adapters[layer].get_parameter("weight").div_(now)
            before = now

    def save(self, out: Path) -> None:
        """Write the network, without its adapters, in half precision."""
        tensors = self.network.state_dict()
        save_file({key: value.half().contiguous() for key, value in tensors.items()}, out)


@torch.no_grad()
def muon(kernel: nn.Parameter, momentum: Tensor, rate: float) -> None:
    """Step equally far in all directions of a matrix: about twice Adam's pace here.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Deviations: a convolution counts as a matrix (outputs, inputs * 9).
    """
    assert kernel.grad is not None
    mixed = kernel.grad.lerp(momentum.lerp_(kernel.grad, 0.05), 0.95).flatten(1)  # Nesterov's
    tall = mixed.shape[0] > mixed.shape[1]
    matrix = (mixed.mT if tall else mixed) / (mixed.norm() + 1e-12)
    for _ in range(5):  # Newton and Schulz: all singular values become about 1
        square = matrix @ matrix.mT
        matrix = 3.4445 * matrix + (2.0315 * square @ square - 4.775 * square) @ matrix
    kernel.sub_((matrix.mT if tall else matrix).reshape(kernel.shape), alpha=rate)


class Pictures:
    """Photographs and procedural studies, and the generator of all randomness."""

    def __init__(
        self, photographs: Iterable[Path], painted: Sequence[Pixels], crop: int, seed: int
    ) -> None:
        self.photographs = [np.asarray(read(file)) for file in photographs]
        self.painted, self.crop = painted, crop
        self.generator = torch.Generator().manual_seed(seed)
        self._uniform = partial(torch.rand, generator=self.generator)
        self._normal = partial(torch.randn, generator=self.generator)

    def cut(self) -> Image:
        """Return one crop: three of ten from a study, of one to two and a half times its size."""
        kind, which, scale, down, right, flip = self._uniform(6).tolist()
        pictures = self.painted if self.painted and kind < 0.3 else self.photographs
        picture = pictures[int(which * len(pictures))]
        height, width = picture.shape[:2]
        side = round(self.crop * min(2.5, min(height, width) / self.crop) ** scale)
        top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
        pixels = torch.tensor(picture[top : top + side, left : left + side]).permute(2, 0, 1)
        size = (self.crop, self.crop)
        image = F.interpolate(pixels[None] / 255, size, mode="bilinear", antialias=True)
        return image.flip(-1) if flip < 0.5 else image

    def batch(self, count: int) -> Image:
        """Return crops with mixed colours, sharpened and noisy: as optimisation makes them."""
        images = torch.cat([self.cut() for _ in range(count)])
        mean = images.mean((2, 3), keepdim=True)
        mix = torch.eye(3) + self._some(count, 0.35)[..., 0] * self._normal(count, 3, 3)
        images = torch.einsum("nij,njhw->nihw", mix, images - mean) + mean
        images = images + self._some(count, 0.3) * self._normal(count, 3, 1, 1)
        blurred = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        images = images + self._some(count, 1.5) * (images - blurred)
        return (images + self._some(count, 0.15) * self._normal(*images.shape)).clamp(-0.3, 1.3)

    def _some(self, count: int, most: float) -> Tensor:
        """Return nothing for half of the images, up to `most` for the others."""
        return (self._uniform(count, 1, 1, 1) < 0.5) * most * self._uniform(count, 1, 1, 1)


def relative(got: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared error over the square of what is wanted."""
    return (got - wanted).square().mean() / wanted.square().mean().clamp_min(1e-12)


def errors(
    student: Student, teacher: Encoder, images: Image, recipe: Recipe, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return per layer (features error, kernel error); every image counts the same."""
    with torch.no_grad():
        theirs = teacher(images, MATCHED)
    own, found = student(images), {}
    for layer, adapter in student.adapters.items():
        n, _, h, w = theirs[layer].shape
        where = torch.randint(n * h * w, (recipe.positions,), generator=generator)
        at = (where // (h * w), slice(None), where // w % h, where % w)
        scale = theirs[layer].square().mean((1, 2, 3)).add(1e-8).rsqrt()[at[0], None]
        got, wanted = own[layer][at].float() * scale, theirs[layer][at] * scale
        few = (got[: recipe.pairs], wanted[: recipe.pairs])
        kernels = [rows @ rows.mT / rows.shape[1] for rows in few]
        found[layer] = torch.stack([relative(adapter(got), wanted), relative(*kernels)])
    return found


def distill(
    teacher: Encoder, pictures: Pictures, recipe: Recipe, out: Path
) -> tuple[Student, list[dict[str, float]]]:
    """Train, and return the averaged student and its losses; `out` holds the latest weights."""
    seen = teacher(torch.zeros(1, 3, 16, 16), MATCHED)
    student = Student({layer: f.shape[1] for layer, f in seen.items()}, pictures.generator)
    average = copy.deepcopy(student)
    kernels = [p for p in student.parameters() if p.dim() == 4]
    others = [p for p in student.parameters() if p.dim() != 4]
    momenta = [torch.zeros_like(p) for p in kernels]
    adam = torch.optim.Adam(others, betas=(0.9, 0.99))
    history = []
    for step in range(1, recipe.steps + 1):
        images = pictures.batch(recipe.batch)
        found = errors(student, teacher, images, recipe, pictures.generator)
        losses = torch.stack(list(found.values())).mean(0)
        student.zero_grad()
        losses.sum().backward()
        pace = min(1, step / recipe.warm_up) * (1 - (step - 1) / recipe.steps)
        adam.param_groups[0]["lr"] = recipe.adam_rate * pace
        adam.step()
        for kernel, momentum in zip(kernels, momenta, strict=True):
            muon(kernel, momentum, recipe.muon_rate * pace)
        average.follow(student, 1 - recipe.average)
        history.append(dict(zip(("features", "kernel"), losses.tolist(), strict=True)))
        if step % max(1, recipe.steps // POINTS) == 0:
            average.save(out)
            print(step, *(f"{name} {loss:.4f}" for name, loss in history[-1].items()), flush=True)
    return average, history


@torch.no_grad()
def table(student: Student, teacher: Encoder, photos: Path, recipe: Recipe) -> str:
    """Return the errors per layer on photographs that were held out, as they are."""
    held_out = Pictures(image_files(photos / HELD_OUT), [], 128, seed=0)
    lines = ["layer    features  kernel"]
    images = torch.cat([held_out.cut() for _ in range(48)])
    recipe = replace(recipe, positions=20_000, pairs=4000)
    for layer, found in errors(student, teacher, images, recipe, held_out.generator).items():
        lines.append(f"{layer}  {found[0]:8.4f}  {found[1]:6.4f}")
    return "\n".join(lines)


def track(uri: str, recipe: Recipe, history: Sequence[Mapping[str, float]], note: str) -> None:
    """Log parameters, thinned curves and the table to MLflow, in one call."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    client, now = MlflowClient(tracking_uri=uri), round(time.time() * 1000)
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    run = client.create_run(experiment, run_name=f"{recipe.steps} steps, seed {recipe.seed}").info
    width = -(-len(history) // POINTS)
    points = [
        Metric(f"loss/{name}", float(np.mean([h[name] for h in history[i : i + width]])), now, i)
        for name in history[0]
        for i in range(0, len(history), width)
    ]
    params = [Param(name, str(value)) for name, value in asdict(recipe).items()]
    client.log_batch(run.run_id, points, params, [RunTag("mlflow.note.content", note)])
    client.set_terminated(run.run_id)


def main() -> None:
    """Train, rescale, report."""
    parser = argparse.ArgumentParser(description="Distil VGG-19 into the packaged encoder.")
    parser.add_argument("--teacher", type=Path, required=True, help="VGG-19's weights")
    parser.add_argument("--photos", type=Path, required=True, help=f"train/, val/, {HELD_OUT}/")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--out", type=Path, default=compact.WEIGHTS)
    parser.add_argument("--tracking-uri", default="sqlite:///runs/mlflow.db")
    given = parser.parse_args()
    recipe = Recipe(steps=given.steps, seed=given.seed)
    shelf = Shelf(Network(offline=True), {"vgg19": given.teacher})
    teacher = load(*find("vgg19", shelf), precision="bfloat16")
    files = [f for f in image_files(given.photos) if f.parent.name != HELD_OUT]
    files += [skimage_photograph(name) for name in (*PHOTOGRAPHS, *TEXTURES)]
    painted = [studies.paint(n, *STUDY_SIZE, s) for n in studies.STUDIES for s in STUDY_SEEDS]
    pictures = Pictures(files, painted, recipe.crop, recipe.seed)
    student, history = distill(teacher, pictures, recipe, given.out)
    student.rescale(teacher, torch.cat([pictures.cut() for _ in range(64)]))
    student.save(given.out)
    note = table(student, teacher, given.photos, recipe)
    print(note)
    track(given.tracking_uri, recipe, history, note)


if __name__ == "__main__":
    main()
