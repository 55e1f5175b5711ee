"""Train `compact`, the packaged encoder, to see pictures as VGG-19 does.

Three losses, each relative to what it is compared with:
- features: the student's, through a learned linear adapter, against the teacher's;
- kernel: inner products of the features at any two positions, student's against teacher's. Content
  losses and distances of Gram matrices are sums of these, so the student's own come out right
  without an adapter, which nobody has at hand once it stylizes;
- gradient, for the last part: the direction in which a style and content loss pulls the pixels.
Four images of ten are on their way from a content to a style, pulled by the student itself: what
it gets wrong is what it is shown next.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
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
    Pixels = np.ndarray[Any, np.dtype[np.uint8]]  # (H, W, 3)

MATCHED = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_4")
STYLE_LAYERS, CONTENT_LAYER = ("relu1_1", "relu2_1", "relu3_1", "relu3_4"), "relu3_2"
WEIGHTS = {"features": 1.0, "kernel": 1.0, "gradient": 0.3}
HELD_OUT = "test"  # the folder of photographs that errors are measured on
STUDY_SEEDS, STUDY_SIZE = (1, 2, 3), (480, 360)  # seed 0 paints the stand-ins of suites
SAVE_EVERY = 500


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of."""

    steps: int = 6500
    seed: int = 0
    crop: int = 64
    fresh: int = 6  # crops per step
    journeys: int = 4  # images per step on their way to a style
    journey_steps: int = 32
    stride: float = 0.05  # root mean square change of such an image in its first step
    positions: int = 768  # that features are compared at, per layer and step
    pairs: int = 384  # of these, compared with each other
    muon_rate: float = 0.04
    adam_rate: float = 3e-3  # of biases and adapters
    warm_up: int = 100
    average: float = 0.998  # of the weights, exponential
    gradient_from: float = 0.7  # of the steps


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


class Muon(torch.optim.Optimizer):
    """Steps of equal length in all directions of a matrix: about twice Adam's pace here.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks".
    Deviations: convolutions count as matrices (outputs, inputs * 9); everything else gets Adam.
    """

    def __init__(self, parameters: Iterator[nn.Parameter], muon: float, adam: float) -> None:
        rows = list(parameters)
        kernels = {"params": [p for p in rows if p.dim() == 4], "lr": muon, "adam": False}
        others = {"params": [p for p in rows if p.dim() != 4], "lr": adam, "adam": True}
        super().__init__([kernels, others], {})

    @torch.no_grad()
    def step(self, closure: Any = None, *, pace: float = 1.0) -> None:  # type: ignore[override]
        """Move all parameters, at `pace` of the rates."""
        for group in self.param_groups:
            change = self._adam if group["adam"] else self._muon
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(change(self.state[p], p.grad), alpha=group["lr"] * pace)

    @staticmethod
    def _adam(state: dict[str, Any], gradient: Tensor) -> Tensor:
        zeros = torch.zeros_like(gradient)
        age = state["age"] = state.get("age", 0) + 1
        first = state.setdefault("first", zeros.clone()).lerp_(gradient, 0.1)
        second = state.setdefault("second", zeros).lerp_(gradient.square(), 0.01)
        return (first / (1 - 0.9**age)) / ((second / (1 - 0.99**age)).sqrt() + 1e-8)

    @staticmethod
    def _muon(state: dict[str, Any], gradient: Tensor) -> Tensor:
        first = state.setdefault("first", torch.zeros_like(gradient)).lerp_(gradient, 0.05)
        matrix = gradient.lerp(first, 0.95).flatten(1)
        tall = matrix.shape[0] > matrix.shape[1]
        matrix = (matrix.mT if tall else matrix) / (matrix.norm() + 1e-12)
        for _ in range(5):  # Newton and Schulz: all singular values become about 1
            square = matrix @ matrix.mT
            matrix = 3.4445 * matrix + (2.0315 * square @ square - 4.775 * square) @ matrix
        return (matrix.mT if tall else matrix).reshape(gradient.shape)


class Pictures:
    """Photographs and procedural studies, and the generator of all randomness."""

    def __init__(
        self, photographs: Sequence[Pixels], painted: Sequence[Pixels], crop: int, seed: int
    ) -> None:
        self.photographs, self.painted, self.crop = photographs, painted, crop
        self.generator = torch.Generator().manual_seed(seed)

    def cut(self) -> Image:
        """Return one crop: three of ten from a study, of one to two and a half times its size."""
        kind, which, scale, down, right, flip = self.uniform(6).tolist()
        pictures = self.painted if kind < 0.3 else self.photographs
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
        mix = torch.eye(3) + self._some(count, 0.35)[..., 0] * self.normal(count, 3, 3)
        images = torch.einsum("nij,njhw->nihw", mix, images - mean) + mean
        images = images + self._some(count, 0.3) * self.normal(count, 3, 1, 1)
        blurred = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        images = images + self._some(count, 1.5) * (images - blurred)
        return (images + self._some(count, 0.15) * self.normal(*images.shape)).clamp(-0.3, 1.3)

    def _some(self, count: int, most: float) -> Tensor:
        """Return nothing for half of the images, up to `most` for the others."""
        return (self.uniform(count, 1, 1, 1) < 0.5) * most * self.uniform(count, 1, 1, 1)

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers in [0, 1)."""
        return torch.rand(shape, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Return normal numbers."""
        return torch.randn(shape, generator=self.generator)


class Journeys:
    """Images on their way from contents to styles, and the loss that pulls them."""

    def __init__(self, recipe: Recipe, pictures: Pictures, teacher: Encoder) -> None:
        self.recipe, self.pictures, self.teacher, self.age = recipe, pictures, teacher, 0

    def next(self) -> Image:
        """Return where the images are, and weigh the losses anew: each layer has to be right."""
        if self.age % self.recipe.journey_steps == 0:
            self._depart()
        self.age += 1
        self.weights = (self.pictures.normal(5).exp() * torch.tensor([1, 1, 1, 1, 0.1])).tolist()
        return self.image.clone().requires_grad_()

    def _depart(self) -> None:
        count = self.recipe.journeys
        self.content, self.style = self.pictures.batch(count), self.pictures.batch(count)
        noise = 0.5 + 0.25 * self.pictures.normal(*self.content.shape)
        share = (2 * self.pictures.uniform(count, 1, 1, 1) - 1).clamp_min(0)  # half start clean
        self.image, self.velocity = torch.lerp(self.content, noise, share), torch.zeros(())
        with torch.no_grad():
            seen = [self.teacher(image, MATCHED) for image in (self.content, self.style)]
        self.wanted = targets(*seen)

    def pull(self, now: Features, wanted: Features) -> Tensor:
        """Return the loss, the style's weight being about ten times the content's."""
        got, layers = targets(now, now), (*STYLE_LAYERS, CONTENT_LAYER)
        losses = [relative(got[layer], wanted[layer], start=1).sum() for layer in layers]
        return torch.stack([w * loss for w, loss in zip(self.weights, losses, strict=True)]).sum()

    def move(self, gradient: Tensor) -> None:
        """Take a step against the gradient; steps get smaller."""
        size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        self.velocity = 0.8 * self.velocity + 0.2 * gradient / size
        left = 1 - (self.age - 1) % self.recipe.journey_steps / self.recipe.journey_steps
        self.image = (self.image - self.recipe.stride * left * self.velocity).clamp(-0.4, 1.4)


def targets(content: Features, style: Features) -> dict[str, Tensor]:
    """Return what style transfer compares: Gram matrices, and features at one layer."""
    flat = {layer: style[layer].float().flatten(2) for layer in STYLE_LAYERS}
    grams = {layer: features @ features.mT for layer, features in flat.items()}
    return grams | {CONTENT_LAYER: content[CONTENT_LAYER].float()}


def relative(got: Tensor, wanted: Tensor, start: int = 0) -> Tensor:
    """Return the squared error over the square of what is wanted, over axes from `start` on."""
    axes = tuple(range(start, got.dim()))
    return (got - wanted).square().mean(axes) / wanted.square().mean(axes).clamp_min(1e-12)


def matching(
    student: Student, own: Features, theirs: Features, recipe: Recipe, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return the features loss and the kernel loss; every image counts the same."""
    losses = []
    for layer, adapter in student.adapters.items():
        n, _, h, w = theirs[layer].shape
        where = torch.randint(n * h * w, (recipe.positions,), generator=generator)
        scale = theirs[layer].square().mean((1, 2, 3)).add(1e-8).rsqrt()[where // (h * w), None]
        at = (where // (h * w), slice(None), where // w % h, where % w)
        got, wanted = own[layer][at].float() * scale, theirs[layer][at] * scale
        kernels = [rows @ rows.mT / rows.shape[1] for rows in (got[: recipe.pairs], wanted[: recipe.pairs])]
        losses.append(torch.stack([relative(adapter(got), wanted), relative(*kernels)]))
    features, kernel = torch.stack(losses).mean(0)
    return {"features": features, "kernel": kernel}


def training_step(
    student: Student, journeys: Journeys, recipe: Recipe, *, with_gradient: bool
) -> dict[str, Tensor]:
    """Return the losses of one step, and move the journeys on."""
    moving, fresh = journeys.next(), journeys.pictures.batch(recipe.fresh)
    with torch.set_grad_enabled(with_gradient):
        there = journeys.teacher(moving, MATCHED)
    with torch.no_grad():
        rest = journeys.teacher(fresh, MATCHED)
        goals = targets(student(journeys.content), student(journeys.style))
    own = student(torch.cat([moving, fresh]))
    pull = journeys.pull({k: f[: len(moving)] for k, f in own.items()}, goals)
    (ours,) = torch.autograd.grad(pull, moving, create_graph=with_gradient, retain_graph=True)
    journeys.move(ours.detach())
    theirs = {layer: torch.cat([there[layer].detach(), rest[layer]]) for layer in MATCHED}
    losses = matching(student, own, theirs, recipe, journeys.pictures.generator)
    if with_gradient:
        (wanted,) = torch.autograd.grad(journeys.pull(there, journeys.wanted), moving)
        losses["gradient"] = 1 - F.cosine_similarity(ours.flatten(1), wanted.flatten(1)).mean()
    return losses
