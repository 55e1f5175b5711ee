"""Train `compact`, the packaged encoder, to see pictures as VGG-19 does.

Four losses, each relative to what it is compared with, per layer:
- features: the student's, through a learned 1x1 adapter, against the teacher's;
- kernel: inner products of the features of any two positions, student's against teacher's. Content
  losses and distances of Gram matrices are sums of these, so the student's own are right without
  any adapter, which nobody has at hand once it stylizes;
- gram: Gram matrices through the adapters;
- gradient: the direction in which a style and content loss pulls the pixels. Its images are on
  their way from a content to a style, pulled by the student itself: where its gradients mislead
  it, it sees the consequences.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import studies
from harness.encoders import compact
from harness.encoders.layered import IMAGENET_MEAN, IMAGENET_STD
from harness.images import PHOTOGRAPHS, TEXTURES, image_files, read, skimage_photograph

if TYPE_CHECKING:
    from harness.protocols import Encoder, Image

Features = Mapping[str, Tensor]

MATCHED = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1", "relu3_2", "relu3_4")
RELUS = tuple(layer for layer in compact.LAYERS if layer.startswith("relu"))
HELD_OUT = "test"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu3_4")
STUDY_SEEDS, STUDY_SIZE = 3, (480, 360)
POINTS = 200


@dataclass(frozen=True)
class Recipe:
    """What a training run is made of."""

    steps: int = 12_000
    seed: int = 0
    batch: int = 8
    crop: int = 64
    learning_rate: float = 3e-3
    average: float = 0.999  # of the weights, exponential
    kernel_weight: float = 1.0
    gram_weight: float = 0.0
    gradient_weight: float = 1.0
    positions: int = 768
    journeys: int = 4
    journey: int = 24  # steps from a content towards a style before the next pair
    stride: float = 0.02  # how far an image moves per step, root mean square


class Student(nn.Module):
    """The compact network and, for training only, its adapters to the teacher's channels."""

    def __init__(self, teacher_channels: Mapping[str, int], generator: torch.Generator) -> None:
        super().__init__()
        self.network = compact.build().to_empty(device="cpu")
        for parameter in self.network.parameters():
            if parameter.dim() == 4:
                fan_in = parameter[0].numel()
                nn.init.normal_(parameter, std=(2 / fan_in) ** 0.5, generator=generator)
            else:
                nn.init.zeros_(parameter)
        self.adapters = nn.ModuleDict()
        for layer, channels in teacher_channels.items():
            own = compact.CHANNELS[int(layer[4]) - 1]
            adapter = nn.Linear(own, channels)
            nn.init.normal_(adapter.weight, std=own**-0.5, generator=generator)
            nn.init.zeros_(adapter.bias)
            self.adapters[layer] = adapter

    def forward(self, image: Image) -> dict[str, Tensor]:
        """Return the features at all ReLUs."""
        mean, std = (torch.tensor(t).view(1, 3, 1, 1) for t in (IMAGENET_MEAN, IMAGENET_STD))
        features = ((image - mean) / std).contiguous(memory_format=torch.channels_last)
        found = {}
        for layer, module in zip(compact.LAYERS, self.network.get_submodule("features"), strict=True):
            features = module(features)
            found[layer] = features
        return {layer: found[layer] for layer in RELUS}


def gram_adapted(features, adapter):
    g = gram(features.float())
    return adapter.weight @ g @ adapter.weight.mT * features.shape[1] / adapter.weight.shape[0]


def gram(features: Tensor) -> Tensor:
    """Return Gram matrices over positions and channels."""
    n, c, h, w = features.shape
    flat = features.reshape(n, c, h * w).float()
    return flat @ flat.mT / (c * h * w)


def relative(got: Tensor, wanted: Tensor) -> Tensor:
    """Return the squared error over the square of what is wanted."""
    return (got - wanted).square().mean() / wanted.square().mean().clamp_min(1e-12)


def rows_at(features: Tensor, where: Tensor) -> Tensor:
    """Return the features at positions of the batch: (positions, channels)."""
    n, c, h, w = features.shape
    where = where % (n * h * w)
    return features[where // (h * w), :, where // w % h, where % w].float()


def kernel(rows: Tensor) -> Tensor:
    """Return the inner products of all rows."""
    return rows @ rows.mT / rows.shape[1]


class Pictures:
    """Photographs and procedural studies, cut into augmented crops."""

    def __init__(self, photos: Path, size: int, generator: torch.Generator, studies_too: bool = True) -> None:
        files = [f for f in image_files(photos) if HELD_OUT not in f.relative_to(photos).parts]
        files += [skimage_photograph(name) for name in (*PHOTOGRAPHS, *TEXTURES)]
        self.photographs = [np.asarray(read(f)) for f in files]
        seeds = range(1, 1 + STUDY_SEEDS) if studies_too else ()
        self.studies = [studies.paint(n, *STUDY_SIZE, s) for n in sorted(studies.STUDIES) for s in seeds]
        self.size, self.generator = size, generator

    def batches(self, count: int) -> Iterator[Image]:
        """Yield batches for ever."""
        while True:
            yield augment(torch.cat([self._crop() for _ in range(count)]), self.generator)

    def _crop(self) -> Tensor:
        kind, which, scale, down, right, flip = torch.rand(6, generator=self.generator).tolist()
        pictures = self.studies if kind < 0.3 and self.studies else self.photographs
        picture = pictures[int(which * len(pictures))]
        height, width = picture.shape[:2]
        side = round(self.size * min(2.5, min(height, width) / self.size) ** scale)
        top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
        pixels = torch.tensor(picture[top : top + side, left : left + side]).permute(2, 0, 1)
        crop = F.interpolate(
            pixels[None].float() / 255, (self.size, self.size), mode="bilinear", antialias=True
        )
        return crop.flip(-1) if flip < 0.5 else crop


def augment(images: Image, generator: torch.Generator) -> Image:
    """Shift colours, sharpen and add noise, each to half of the images: as optimisation does."""
    n = len(images)

    def some(scale: float) -> Tensor:
        on = torch.rand(n, 1, 1, 1, generator=generator) < 0.5
        return on * torch.rand(n, 1, 1, 1, generator=generator) * scale

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mean = images.mean((2, 3), keepdim=True)
    mix = torch.eye(3) + some(0.5)[..., 0] * normal(n, 3, 3)
    images = torch.einsum("nij,njhw->nihw", mix, images - mean) + mean + some(0.3) * normal(n, 3, 1, 1)
    images = images + some(1.5) * (images - F.avg_pool2d(images, 3, 1, 1, count_include_pad=False))
    images = images + some(0.15) * normal(*images.shape)
    return images.clamp(-0.3, 1.3)
    

class Journeys:
    """Images on their way from contents to styles, and the losses that pull them."""

    def __init__(self, recipe: Recipe, batches: Iterator[Image], generator: torch.Generator) -> None:
        self.recipe, self.batches, self.generator = recipe, batches, generator
        self.age = 0

    def next(self) -> Image:
        if self.age % self.recipe.journey == 0:
            self.content, self.style = next(self.batches), next(self.batches)
            n = len(self.content)
            blend = torch.rand(n, 1, 1, 1, generator=self.generator) * (
                torch.rand(n, 1, 1, 1, generator=self.generator) < 0.5)
            noise = 0.5 + 0.25 * torch.randn(self.content.shape, generator=self.generator)
            self.image = torch.lerp(self.content, noise, blend)
            self.velocity = torch.zeros_like(self.image)
        self.age += 1
        self.layer_weights = torch.randn(len(STYLE_LAYERS), generator=self.generator).exp().tolist()
        self.content_weight = 0.1 * float(torch.randn((), generator=self.generator).mul(1.5).exp())
        return self.image.clone().requires_grad_()

    def pull(self, now: Features, content: Features, style: Features) -> Tensor:
        loss = self.content_weight * relative_each(now["relu3_2"], content["relu3_2"])
        for layer, weight in zip(STYLE_LAYERS, self.layer_weights, strict=True):
            loss = loss + weight * relative_each(gram(now[layer]), gram(style[layer]))
        return loss.sum()

    def move(self, gradient: Tensor) -> None:
        size = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        self.velocity = 0.8 * self.velocity - 0.2 * gradient / size
        self.image = (self.image + 2.5*self.recipe.stride * self.velocity).clamp(-0.4, 1.4)


def relative_each(got: Tensor, wanted: Tensor) -> Tensor:
    return (got.float() - wanted.float()).square().flatten(1).mean(1) / wanted.float().square().flatten(1).mean(1).clamp_min(1e-12)


def distill(teacher: Encoder, pictures: Pictures, recipe: Recipe, out: Path, channels, log=print, limit=1e9) -> list[dict[str, float]]:
    generator = pictures.generator
    student = Student(channels, generator)
    average = torch.optim.swa_utils.AveragedModel(student, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average))
    optimizer = torch.optim.Adam(student.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99), fused=True)
    warm = 100
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min((i + 1) / warm, 1) * 0.5 * (1 + np.cos(np.pi * i / recipe.steps)) + 1e-3)
    fresh = pictures.batches(recipe.batch)
    journeys = Journeys(recipe, pictures.batches(recipe.journeys), generator)
    history, begin = [], time.time()
    grad_on = recipe.gradient_weight > 0
    for step in range(recipe.steps):
        images = next(fresh)
        with torch.no_grad():
            t = teacher(images, MATCHED)
        losses = {"features": 0.0, "kernel": 0.0, "gram": 0.0}
        if grad_on:
            x = journeys.next()
            n = len(x)
            if journeys.age % recipe.journey == 1:
                with torch.no_grad():
                    t_content, t_style = teacher(journeys.content, ["relu3_2"]), teacher(journeys.style, STYLE_LAYERS)
            g_t, = torch.autograd.grad(journeys.pull(teacher(x, (*STYLE_LAYERS, "relu3_2")), t_content, t_style), x)
            with torch.autocast("cpu", torch.bfloat16):
                with torch.no_grad():
                    s_content, s_style = student(journeys.content), student(journeys.style)
                s = student(torch.cat([x, images]))
            g_s, = torch.autograd.grad(journeys.pull({k: v[:n].float() for k, v in s.items()}, s_content, s_style), x, create_graph=True)
            losses["gradient"] = 1 - F.cosine_similarity(g_s.flatten(1), g_t.flatten(1)).mean()
            journeys.move(g_s.detach())
            s = {k: v[n:] for k, v in s.items()}
        else:
            with torch.autocast("cpu", torch.bfloat16):
                s = student(images)
        for l in MATCHED:
            where = torch.randint(2**40, (recipe.positions,), generator=generator)
            rs, rt = rows_at(s[l], where), rows_at(t[l], where)
            losses["features"] += relative(student.adapters[l](rs), rt) / len(MATCHED)
            losses["kernel"] += relative(kernel(rs), kernel(rt)) / len(MATCHED)
            if recipe.gram_weight:
                losses["gram"] += relative(gram_adapted(s[l], student.adapters[l]), gram(t[l])) / len(MATCHED)
        total = losses["features"] + recipe.kernel_weight * losses["kernel"] + recipe.gram_weight * losses["gram"] + recipe.gradient_weight * losses.get("gradient", 0.0)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step(); schedule.step()
        average.update_parameters(student)
        if step == recipe.average_from if hasattr(recipe, "average_from") else False: pass
        history.append({k: float(v.detach()) if torch.is_tensor(v) else v for k, v in losses.items()} | {"norm": float(norm)})
        if (step + 1) % 100 == 0:
            log(step + 1, f"{time.time()-begin:.0f}s", {k: round(float(np.mean([h[k] for h in history[-100:]])), 4) for k in history[-1]})
        if (step + 1) % 500 == 0 or step + 1 == recipe.steps:
            save(average.module, out)
    return history


def save(student, out):
    import safetensors.torch
    safetensors.torch.save_file({k: v.detach().half().contiguous() for k, v in student.network.state_dict().items()}, out)
