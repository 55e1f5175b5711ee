"""Train `compact`, the packaged encoder, to see pictures as VGG-19 does.

python -m harness.encoders.distill --teacher PATH --photos DIR

Three losses, each relative to what it is compared with, averaged over layers:
- features: the student's, through a learned 1x1 adapter, against the teacher's;
- kernel: inner products of the features at any two positions, student's against teacher's. Content
  losses and distances of Gram matrices are sums of these, so the student's own come out right
  without an adapter, which nobody has at hand once it stylizes;
- gradient, for the last part: the direction in which a style and content loss pulls the pixels.
A part of the images are on their way from a content to a style, pulled by the student itself: what
it gets wrong is what it is shown next.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from harness import studies
from harness.encoders import compact, find, load
from harness.encoders.layered import IMAGENET_MEAN, IMAGENET_STD
from harness.images import PHOTOGRAPHS, TEXTURES, image_files, read, skimage_photograph

if TYPE_CHECKING:
    from harness.protocols import Encoder, Image

Features = Mapping[str, Tensor]

MATCHED = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_4")
STYLE_LAYERS, CONTENT_LAYER = ("relu1_1", "relu2_1", "relu3_1", "relu3_4"), "relu3_2"
HELD_OUT = "test"
STUDY_SEEDS, STUDY_SIZE = (1, 2, 3), (480, 360)  # seed 0 paints the stand-ins of suites


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of."""

    steps: int = 10_000
    seed: int = 0
    crop: int = 64
    fresh: int = 6  # crops per step
    journeys: int = 4  # images per step on their way to a style
    journey_steps: int = 32
    stride: float = 0.05  # root mean square change of such an image in its first step
    positions: int = 768  # that features are compared at, per layer and step
    pairs: int = 384  # of these that are compared with each other
    muon_rate: float = 0.04
    adam_rate: float = 3e-3  # of biases and adapters
    warm_up: int = 100
    average: float = 0.998  # of the weights, exponential
    kernel_weight: float = 1.0
    gradient_weight: float = 0.3
    gradient_from: float = 0.7  # of the steps


class Student(nn.Module):
    """The compact network and, for training only, its adapters to the teacher's channels."""

    def __init__(self, channels: Mapping[str, int], generator: torch.Generator) -> None:
        super().__init__()
        self.network = compact.build().to_empty(device="cpu")
        own = {layer: compact.CHANNELS[int(layer[4]) - 1] for layer in channels}
        self.adapters = nn.ModuleDict({l: nn.Linear(own[l], c) for l, c in channels.items()})
        for parameter in self.parameters():
            fan_in = parameter[0].numel()
            nn.init.zeros_(parameter) if parameter.dim() == 1 else nn.init.normal_(
                parameter, std=(parameter.dim() / 2 / fan_in) ** 0.5, generator=generator
            )

    def forward(self, image: Image) -> dict[str, Tensor]:
        """Return the features by layer."""
        mean, std = (torch.tensor(t).view(1, 3, 1, 1) for t in (IMAGENET_MEAN, IMAGENET_STD))
        features = ((image - mean) / std).contiguous(memory_format=torch.channels_last)
        found = {}
        with torch.autocast("cpu", torch.bfloat16):
            for layer, module in zip(compact.LAYERS, self.network.features, strict=True):
                found[layer] = features = module(features)
        return found


class Muon(torch.optim.Optimizer):
    """Steps of equal size in all directions of a matrix: nearly twice Adam's pace here.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Deviations: convolutions count as matrices of (outputs, inputs * 9); everything else gets Adam.
    """

    def __init__(self, parameters: Iterator[nn.Parameter], muon_rate: float, adam_rate: float) -> None:
        rows = list(parameters)
        kernels = {"params": [p for p in rows if p.dim() == 4], "lr": muon_rate, "adam": False}
        others = {"params": [p for p in rows if p.dim() != 4], "lr": adam_rate, "adam": True}
        super().__init__([kernels, others], {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all parameters."""
        for group in self.param_groups:
            for parameter in (p for p in group["params"] if p.grad is not None):
                change = self._adam if group["adam"] else self._muon
                parameter.sub_(change(self.state[parameter], parameter.grad), alpha=group["lr"])

    @staticmethod
    def _adam(state: dict[str, Any], gradient: Tensor) -> Tensor:
        if not state:
            state.update(age=0, first=torch.zeros_like(gradient), second=torch.zeros_like(gradient))
        state["age"] += 1
        first = state["first"].lerp_(gradient, 0.1) / (1 - 0.9 ** state["age"])
        second = state["second"].lerp_(gradient.square(), 0.01) / (1 - 0.99 ** state["age"])
        return first / (second.sqrt() + 1e-8)

    @staticmethod
    def _muon(state: dict[str, Any], gradient: Tensor) -> Tensor:
        if not state:
            state["first"] = torch.zeros_like(gradient)
        matrix = gradient.lerp(state["first"].lerp_(gradient, 0.05), 0.95).flatten(1)
        tall = matrix.shape[0] > matrix.shape[1]
        matrix = matrix.mT if tall else matrix
        matrix = matrix / (matrix.norm() + 1e-12)
        for _ in range(5):  # Newton and Schulz: all singular values to about 1
            square = matrix @ matrix.mT
            matrix = 3.4445 * matrix + (2.0315 * square @ square - 4.775 * square) @ matrix
        return (matrix.mT if tall else matrix).reshape(gradient.shape)


class Pictures:
    """Photographs and procedural studies, cut into augmented crops."""

    def __init__(self, photos: Path, painted: Sequence[Any], crop: int, generator: torch.Generator) -> None:
        files = [f for f in image_files(photos) if HELD_OUT not in f.relative_to(photos).parts]
        files += [skimage_photograph(name) for name in (*PHOTOGRAPHS, *TEXTURES)]
        self.photographs, self.studies = [np.asarray(read(f)) for f in files], painted
        self.crop, self.generator = crop, generator

    def batch(self, count: int) -> Image:
        """Return so many crops."""
        return augment(torch.cat([self._cut() for _ in range(count)]), self.generator)

    def _cut(self) -> Tensor:
        kind, which, scale, down, right, flip = torch.rand(6, generator=self.generator).tolist()
        pictures = self.studies if kind < 0.3 and self.studies else self.photographs
        picture = pictures[int(which * len(pictures))]
        height, width = picture.shape[:2]
        side = round(self.crop * min(2.5, min(height, width) / self.crop) ** scale)
        top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
        pixels = torch.tensor(picture[top : top + side, left : left + side]).permute(2, 0, 1)[None]
        size = (self.crop, self.crop)
        cut = F.interpolate(pixels.float() / 255, size, mode="bilinear", antialias=True)
        return cut.flip(-1) if flip < 0.5 else cut


def augment(images: Image, generator: torch.Generator) -> Image:
    """Mix colours, sharpen and add noise, each to half of the images: as optimisation does."""
    n = len(images)

    def some(most: float) -> Tensor:
        chosen = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
        return chosen * most * torch.rand(n, 1, 1, 1, generator=generator)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mean = images.mean((2, 3), keepdim=True)
    mix = torch.eye(3) + some(0.35)[..., 0] * normal(n, 3, 3)
    images = torch.einsum("nij,njhw->nihw", mix, images - mean) + mean + some(0.3) * normal(n, 3, 1, 1)
    images = images + some(1.5) * (images - F.avg_pool2d(images, 3, 1, 1, count_include_pad=False))
    return (images + some(0.15) * normal(*images.shape)).clamp(-0.3, 1.3)


class Journeys:
    """Images on their way from contents to styles, and the loss that pulls them."""

    def __init__(self, recipe: Recipe, pictures: Pictures, teacher: Encoder) -> None:
        self.recipe, self.pictures, self.teacher, self.age = recipe, pictures, teacher, 0

    def depart(self) -> None:
        """Choose contents and styles; half of the images start as contents, half with noise."""
        count, generator = self.recipe.journeys, self.pictures.generator
        self.content, self.style = self.pictures.batch(count), self.pictures.batch(count)
        noise = 0.5 + 0.25 * torch.randn(self.content.shape, generator=generator)
        share = torch.rand(count, 1, 1, 1, generator=generator).mul(2).sub(1).clamp_min(0)
        self.image, self.velocity = torch.lerp(self.content, noise, share), torch.zeros_like(noise)
        with torch.no_grad():
            content, style = (self.teacher(x, MATCHED) for x in (self.content, self.style))
        self.wanted = targets(content, style)

    def next(self) -> Image:
        """Return where the images are, and weigh the layers anew."""
        if self.age % self.recipe.journey_steps == 0:
            self.depart()
        self.age += 1
        self.weights = torch.randn(5, generator=self.pictures.generator).exp().tolist()
        return self.image.clone().requires_grad_()

    def pull(self, now: Features, wanted: Features) -> Tensor:
        """Return the loss, with the style's weight ten times the content's on average."""
        got = targets(now, now)
        losses = [relative(got[l], wanted[l], each=True) for l in (*STYLE_LAYERS, CONTENT_LAYER)]
        return sum((w * l.sum() for w, l in zip((*self.weights[:4], 0.1 * self.weights[4]), losses, strict=True)), start=torch.zeros(()))

    def move(self, gradient: Tensor) -> None:
        """Take a step against the gradient; steps get smaller."""
        size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        self.velocity = torch.lerp(self.velocity, gradient / size, 0.2)
        stride = self.recipe.stride * (1 - (self.age - 1) % self.recipe.journey_steps / self.recipe.journey_steps)
        self.image = (self.image - stride * self.velocity).clamp(-0.4, 1.4)


def targets(content: Features, style: Features) -> dict[str, Tensor]:
    """Return what a style transfer compares: Gram matrices, and features at one layer."""
    grams = {l: style[l].float().flatten(2) for l in STYLE_LAYERS}
    return {l: f @ f.mT for l, f in grams.items()} | {CONTENT_LAYER: content[CONTENT_LAYER].float()}


def relative(got: Tensor, wanted: Tensor, *, each: bool = False) -> Tensor:
    """Return the squared error over the square of what is wanted, of all or of each row."""
    axes = list(range(1 if each else 0, got.dim()))
    return (got - wanted).square().mean(axes) / wanted.square().mean(axes).clamp_min(1e-12)


def rows_at(features: Tensor, where: Tensor) -> Tensor:
    """Return the features at positions of the batch: (positions, channels)."""
    _, _, h, w = features.shape
    return features[where // (h * w), :, where // w % h, where % w].float()


def kernel(rows: Tensor) -> Tensor:
    """Return the inner products of all rows."""
    return rows @ rows.mT / rows.shape[1]


def matching(student: Student, own: Features, teachers: Features, recipe: Recipe, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the features loss and the kernel loss; every image counts the same."""
    losses = {"features": torch.zeros(()), "kernel": torch.zeros(())}
    for layer in MATCHED:
        wanted = teachers[layer]
        n, _, h, w = wanted.shape
        where = torch.randint(n * h * w, (recipe.positions,), generator=generator)
        scale = wanted.square().mean((1, 2, 3)).add(1e-8).rsqrt()[where // (h * w), None]
        got, wanted = rows_at(own[layer], where) * scale, rows_at(wanted, where) * scale
        losses["features"] = losses["features"] + relative(student.adapters[layer](got), wanted) / len(MATCHED)
        pair = slice(recipe.pairs)
        losses["kernel"] = losses["kernel"] + relative(kernel(got[pair]), kernel(wanted[pair])) / len(MATCHED)
    return losses


def training_step(student: Student, journeys: Journeys, recipe: Recipe, with_gradient: bool) -> dict[str, Tensor]:
    """Return the losses of one step, and move the journeys on."""
    moving, fresh = journeys.next(), journeys.pictures.batch(recipe.fresh)
    with torch.set_grad_enabled(with_gradient):
        there = journeys.teacher(moving, MATCHED)
    with torch.no_grad():
        rest = journeys.teacher(fresh, MATCHED)
        goals = targets(student(journeys.content), student(journeys.style))
    own = student(torch.cat([moving, fresh]))
    pull = journeys.pull({l: f[: len(moving)] for l, f in own.items()}, goals)
    (gradient,) = torch.autograd.grad(pull, moving, create_graph=with_gradient, retain_graph=True)
    journeys.move(gradient.detach())
    both = {l: torch.cat([there[l].detach(), rest[l]]) for l in MATCHED}
    losses = matching(student, own, both, recipe, journeys.pictures.generator)
    if with_gradient:
        (wanted,) = torch.autograd.grad(journeys.pull(there, journeys.wanted), moving)
        losses["gradient"] = 1 - F.cosine_similarity(gradient.flatten(1), wanted.flatten(1)).mean()
    return losses


def distill(teacher: Encoder, pictures: Pictures, recipe: Recipe, checkpoint: Path, channels, log=print, keep=None, limit=1e9) -> AveragedModel:
    """Train, and return the averaged student."""
    student = Student(channels, pictures.generator)
    average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))
    optimizer = Muon(student.parameters(), recipe.muon_rate, recipe.adam_rate)
    rates = [g["lr"] for g in optimizer.param_groups]
    journeys = Journeys(recipe, pictures, teacher)
    history, begin, first = [], time.time(), 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        student.load_state_dict(state["student"]); average.load_state_dict(state["average"]); optimizer.load_state_dict(state["optimizer"])
        pictures.generator.set_state(state["generator"]); first = state["step"]
    for step in range(first, recipe.steps):
        pace = min(1, (step + 1) / recipe.warm_up) * (1 - step / recipe.steps)
        for g, rate in zip(optimizer.param_groups, rates): g["lr"] = rate * pace
        losses = training_step(student, journeys, recipe, bool(recipe.gradient_weight) and step >= recipe.gradient_from * recipe.steps)
        weights = {"kernel": recipe.kernel_weight, "gradient": recipe.gradient_weight}
        total = sum(weights.get(name, 1.0) * loss for name, loss in losses.items())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        average.update_parameters(student)
        history.append({k: float(v.detach()) for k, v in losses.items()})
        if (step + 1) % 100 == 0:
            log(step + 1, f"{time.time()-begin:.0f}s cpu {time.process_time():.0f}", {k: round(float(np.mean([h[k] for h in history[-100:] if k in h])), 4) for k in history[-1]})
        if (step + 1) % 500 == 0 or step + 1 == recipe.steps:
            save(average.module, checkpoint.with_suffix(".safetensors"))
            torch.save({"student": student.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict(), "generator": pictures.generator.get_state(), "step": step + 1}, checkpoint)
            if (step + 1) == round(recipe.gradient_from * recipe.steps):
                import shutil; shutil.copy(checkpoint, checkpoint.with_suffix(".phase1.pt"))
    return average


def save(student, out):
    import safetensors.torch
    safetensors.torch.save_file({k: v.detach().half().contiguous() for k, v in student.network.state_dict().items()}, out)
