"""Distil VGG-19 into `compact`, the packaged encoder, channel by channel.

The first phase fits each layer in closed form: reduced-rank regression of the teacher's output on
the student's input of that layer. It uses the student's own features, so that each layer corrects
the errors of earlier ones (Zhang, Zou, He, Sun 2015, arXiv 1505.06798). The second phase trains all
layers by gradient descent on the relative squared error of the features after every ReLU.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from harness.encoders import compact
from harness.encoders.feature_extractor import IMAGENET_MEAN, IMAGENET_STD
from harness.encoders.loading import find, load
from harness.filesystem import expanded
from harness.resources import stand_ins
from harness.resources.downloads import Network
from harness.resources.image_folders import image_files
from harness.resources.images import PHOTOGRAPHS, TEXTURES, read, skimage_photograph
from harness.resources.weights import WeightsStore

if TYPE_CHECKING:
    from harness.protocols import Encoder, Image

    Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (H, W, 3)

RELUS = tuple(layer for layer in compact.LAYERS if layer.startswith("relu"))
HELD_OUT = "test"  # the folder of photographs that errors are measured on
STUDY_SEEDS, STUDY_SIZE = (1, 2), (480, 360)  # seed 0 paints the stand-ins of suites
EXPERIMENT, POINTS = "compact-encoder", 200  # of each curve


@dataclass(frozen=True)
class Recipe:
    """Settings of a training run."""

    steps: int = 6000
    seed: int = 0
    crop: int = 64
    batch: int = 8
    regression_batches: int = 100  # per layer
    positions: int = 1024  # regression samples per batch
    ridge: float = 1e-4  # relative to the mean variance
    learning_rate: float = 5e-4  # Adam's; falls to zero from the end of the warm-up
    warm_up: int = 100  # steps
    average: float = 0.998  # of the weights, exponential


class Student(nn.Module):
    """The compact network during training."""

    def __init__(self) -> None:
        super().__init__()
        self.network = compact.build().to_empty(device="cpu").to(memory_format=torch.channels_last)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        row = self.network.get_submodule("features").children()
        self.stages = dict(zip(compact.LAYERS, row, strict=True))

    def forward(self, image: Image) -> dict[str, Tensor]:
        """Return the features after every ReLU."""
        with torch.autocast("cpu", torch.bfloat16):
            found = self.until(image, len(compact.LAYERS))
        return {layer: found[layer] for layer in RELUS}

    def until(self, image: Image, stop: int) -> dict[str, Tensor]:
        """Return the normalised image and the features of the stages before `stop`."""
        mean, std = (torch.tensor(t).view(1, 3, 1, 1) for t in (IMAGENET_MEAN, IMAGENET_STD))
        features = ((image - mean) / std).contiguous(memory_format=torch.channels_last)
        found = {"image": features}
        for layer in compact.LAYERS[:stop]:
            found[layer] = features = self.stages[layer](features)
        return found

    @torch.no_grad()
    def follow(self, other: Student, share: float) -> None:
        """Move the weights towards those of `other` by `share`."""
        for mine, theirs in zip(self.parameters(), other.parameters(), strict=True):
            mine.lerp_(theirs, share)

    def save(self, out: Path) -> None:
        """Write the network in half precision."""
        tensors = self.network.state_dict()
        save_file({key: value.half().contiguous() for key, value in tensors.items()}, out)


class Pictures:
    """Photographs, procedural studies and the random generator."""

    def __init__(
        self, photographs: Iterable[Path], painted: Sequence[Pixels], crop: int, seed: int
    ) -> None:
        self.photographs = [np.asarray(read(file)) for file in photographs]
        self.painted, self.crop = painted, crop
        self.generator = torch.Generator().manual_seed(seed)
        self._uniform = partial(torch.rand, generator=self.generator)
        self._normal = partial(torch.randn, generator=self.generator)

    def cut(self) -> Image:
        """Return a random crop, scaled down by 1 to 2.5; 30 % of the crops come from studies."""
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
        """Return crops with mixed colours, sharpening and noise, as in optimised images."""
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
    """Return the squared error over the square of what is wanted, the mean over images."""
    error, size = ((t.flatten(1).square().sum(1)) for t in (got - wanted, wanted))
    return (error / (size + 1e-8 * wanted[0].numel())).mean()


@torch.no_grad()
def regress(
    student: Student, teacher: Encoder, layer: str, pictures: Pictures, recipe: Recipe
) -> None:
    """Set a layer's weights to the best low-rank fit on the student's input of that layer."""
    at = compact.LAYERS.index(layer)
    products: Tensor | None = None  # of (patch, 1, answer) with itself, summed over positions
    for _ in range(recipe.regression_batches):
        images = pictures.batch(recipe.batch)
        before = list(student.until(images, at).values())[-1]
        wanted = teacher(images, [layer])[layer]
        weight = wanted.square().mean((1, 2, 3), keepdim=True).add(1e-8).rsqrt()
        ones = torch.ones_like(wanted[:, :1])
        patches = F.unfold(before, 3, padding=1).view(len(images), -1, *wanted.shape[-2:])
        rows = torch.cat([patches, ones, wanted], 1) * weight  # every image has the same weight
        rows = rows.permute(0, 2, 3, 1).flatten(0, 2)
        which = torch.randint(len(rows), (recipe.positions,), generator=pictures.generator)
        part = rows[which].double()
        products = part.mT @ part + (0 if products is None else products)
    assert products is not None
    _assign(student.stages[layer], *_solve(products, wanted.shape[1], recipe.ridge))


def _solve(products: Tensor, answers: int, ridge: float) -> tuple[Tensor, Tensor]:
    """Return the least-squares map (patch + 1, answers) and its principal directions, sorted."""
    inward = len(products) - answers
    xx, xy = products[:inward, :inward], products[:inward, inward:]
    damped = xx + torch.eye(inward) * ridge * xx.diagonal().mean()
    best = torch.linalg.solve(damped, xy)
    centre = xx[-1] / xx[-1, -1]  # the last column is the constant 1
    spread = xx - xx[-1, -1] * torch.outer(centre, centre)
    return best, torch.linalg.eigh(best.mT @ spread @ best).eigenvectors.flip(1)


def _assign(module: nn.Module, best: Tensor, directions: Tensor) -> None:
    kernel, bias = best[:-1].float(), best[-1].float()
    if isinstance(module, nn.Conv2d):
        module.weight.copy_(kernel.mT.reshape(module.weight.shape))
        module.get_parameter("bias").copy_(bias)
        return
    narrow, mix = (m for m in module.modules() if isinstance(m, nn.Conv2d))
    few = directions[:, : len(narrow.weight)].float()
    narrow.weight.copy_((kernel @ few).mT.reshape(narrow.weight.shape))
    mix.weight.copy_(few[..., None, None])
    mix.get_parameter("bias").copy_(bias)


def distill(
    teacher: Encoder, pictures: Pictures, recipe: Recipe, out: Path
) -> tuple[Student, list[dict[str, float]]]:
    """Regress, then train; return the averaged student and its losses by layer.

    Writes the latest weights to `out` during training.
    """
    student = Student()
    for layer in compact.LAYERS:
        if layer.startswith("conv"):
            regress(student, teacher, layer, pictures, recipe)
    average = copy.deepcopy(student)
    adam = torch.optim.Adam(student.parameters(), betas=(0.9, 0.99))
    history = []
    for step in range(1, recipe.steps + 1):
        images = pictures.batch(recipe.batch)
        with torch.no_grad():
            wanted = teacher(images, RELUS)
        losses = torch.stack([relative(f.float(), wanted[k]) for k, f in student(images).items()])
        adam.zero_grad()
        losses.sum().backward()
        pace = min(1, step / recipe.warm_up) * (1 - (step - 1) / recipe.steps)
        adam.param_groups[0]["lr"] = recipe.learning_rate * pace
        adam.step()
        average.follow(student, 1 - recipe.average)
        history.append(dict(zip(RELUS, losses.tolist(), strict=True)))
        if step % max(1, recipe.steps // POINTS) == 0:
            average.save(out)
            print(step, *(f"{name} {loss:.4f}" for name, loss in history[-1].items()), flush=True)
    return average, history


@torch.no_grad()
def table(student: Student, teacher: Encoder, photos: Path) -> str:
    """Return the errors per layer on held-out photographs without augmentation."""
    held_out = Pictures(image_files(photos / HELD_OUT), [], 128, seed=0)
    images = torch.cat([held_out.cut() for _ in range(96)])
    wanted = teacher(images, RELUS)
    lines = ["layer    features  Gram"]
    for layer, got in student(images).items():
        grams = [f.flatten(2) @ f.flatten(2).mT for f in (got.float(), wanted[layer])]
        errors = relative(got.float(), wanted[layer]), relative(*grams)
        lines.append(f"{layer}  {errors[0]:8.4f}  {errors[1]:6.4f}")
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
    """Run the distillation and report its errors."""
    parser = argparse.ArgumentParser(description="Distil VGG-19 into the packaged encoder.")
    parser.add_argument("--teacher", type=expanded, required=True, help="VGG-19's weights")
    parser.add_argument("--photos", type=expanded, required=True, help=f"train/, val/, {HELD_OUT}/")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--out", type=expanded, default=compact.WEIGHTS)
    parser.add_argument("--tracking-uri", default="sqlite:///runs/mlflow.db")
    given = parser.parse_args()
    recipe = Recipe(steps=given.steps, seed=given.seed)
    weights = WeightsStore(Network(offline=True), {"vgg19": given.teacher})
    teacher = load(*find("vgg19", weights), precision="bfloat16")
    files = [f for f in image_files(given.photos) if f.parent.name != HELD_OUT]
    files += [skimage_photograph(name) for name in (*PHOTOGRAPHS, *TEXTURES)]
    painted = [stand_ins.paint(n, *STUDY_SIZE, s) for n in stand_ins.STUDIES for s in STUDY_SEEDS]
    pictures = Pictures(files, painted, recipe.crop, recipe.seed)
    student, history = distill(teacher, pictures, recipe, given.out)
    student.save(given.out)
    note = table(student, teacher, given.photos)
    print(note)
    track(given.tracking_uri, recipe, history, note)


if __name__ == "__main__":
    main()
