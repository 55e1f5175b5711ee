"""The loop behind `gatys`: targets measured once, then passes until the budget is spent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import Diverged
from harness.protocols import Context, Image, Step
from methods._gram import gram
from methods._losses import Target, total_variation

if TYPE_CHECKING:
    from methods.gatys import Gatys

IMAGENET_MEAN = (0.485, 0.456, 0.406)
CHECK_EVERY = 10
"""Adam's losses are read off the device every so many passes: each reading waits for it."""

REFUSED = 1e30
"""What the line search is told once the budget is spent; it then settles on its best point."""


class ImageOptimization:
    """A fitted style: its Gram matrices. Called with a content image, it optimises."""

    def __init__(self, recipe: Gatys, style: Image, context: Context) -> None:
        self.recipe, self.style = recipe, style
        encoder = context.encoder.with_options(pooling=recipe.pooling, scale=recipe.scale)
        with torch.no_grad():
            features = encoder(style, recipe.style_layers) if recipe.style_layers else {}
        self.grams = {
            layer: Target(gram(f, recipe.gram_divisor), recipe.style_reduction, recipe.balance)
            for layer, f in features.items()
        }

    def __call__(self, content: Image, context: Context) -> Image:
        """Return the stylized image, not clamped; raise Diverged where numbers run away."""
        objective = Objective(self.recipe, content, self.grams, context)
        start = self._start(content, context).contiguous()
        run = _lbfgs if self.recipe.optimizer == "lbfgs" else _adam
        return run(self.recipe, objective, start)

    def _start(self, content: Image, context: Context) -> Image:
        if self.recipe.init == "content":
            return content.clone()
        if self.recipe.init == "style":
            size = (content.shape[-2], content.shape[-1])
            return F.interpolate(self.style, size, mode="bilinear", antialias=True)
        noise = torch.randn(content.shape, generator=context.generator).to(content)
        mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1).to(content)
        return mean + self.recipe.noise_sigma * noise


class Objective:
    """Weighted content, style and TV loss of pixels; counts its passes and reports each."""

    def __init__(
        self, recipe: Gatys, content: Image, grams: Mapping[str, Target], context: Context
    ) -> None:
        self.recipe, self.grams, self.context = recipe, grams, context
        self.encoder = context.encoder.with_options(pooling=recipe.pooling, scale=recipe.scale)
        with torch.no_grad():
            found = self.encoder(content, recipe.content_layers) if recipe.content_layers else {}
        self.wanted = {
            layer: Target(features, recipe.content_reduction, recipe.balance)
            for layer, features in found.items()
        }
        self.passes = 0
        self.last_finite: Image | None = None

    def backward(self, image: Image) -> Tensor:
        """Run one pass, forward and backward, and return the detached total loss."""
        recipe = self.recipe
        features = self.encoder(image, recipe.layers)
        losses = {
            "content": recipe.content_weight * self._content(features),
            "style": recipe.style_weight * self._style(features),
        }
        if recipe.tv_weight:
            variation = total_variation(
                image * recipe.pixel_scale, recipe.tv_kind, recipe.tv_reduction
            )
            losses["tv"] = recipe.tv_weight * variation
        total = sum(losses.values(), start=torch.zeros((), device=image.device))
        total.backward()
        self.passes += 1
        losses["total"] = total
        detached = {name: loss.detach() for name, loss in losses.items()}
        self.context.on_step(Step(self.passes, recipe.iterations, detached))
        return detached["total"]

    def check(self, loss: Tensor | float, image: Image) -> None:
        """Keep the image while the loss is finite; end the run where it is not."""
        if not torch.isfinite(torch.as_tensor(loss)):
            raise Diverged(self.passes, self.last_finite)
        self.last_finite = image.detach().clone()

    def _content(self, features: Mapping[str, Tensor]) -> Tensor:
        recipe = self.recipe
        losses = [target(features[layer]) for layer, target in self.wanted.items()]
        return _weighted(losses, self.wanted, recipe.content_layers, recipe.content_layer_weights)

    def _style(self, features: Mapping[str, Tensor]) -> Tensor:
        recipe = self.recipe
        losses = []
        for layer, target in self.grams.items():
            loss = target(gram(features[layer], recipe.gram_divisor))
            losses.append(loss / features[layer][0].numel() if recipe.style_per_element else loss)
        return _weighted(losses, self.grams, recipe.style_layers, recipe.style_layer_weights)


def _weighted(
    losses: Sequence[Tensor],
    found: Iterable[str],
    layers: Sequence[str],
    weights: Sequence[float] | None,
) -> Tensor:
    weight = dict(zip(layers, weights or (1.0,) * len(layers), strict=True))
    return sum((weight[n] * v for n, v in zip(found, losses, strict=True)), start=torch.zeros(()))


def _adam(recipe: Gatys, objective: Objective, start: Image) -> Image:
    scale = recipe.pixel_scale  # the unit of the learning rate
    pixels = (start * scale).requires_grad_()
    optimizer = torch.optim.Adam([pixels], lr=recipe.learning_rate or 0.02)
    for index in range(1, recipe.iterations + 1):
        optimizer.zero_grad(set_to_none=True)
        image = pixels / scale
        loss = objective.backward(image)
        if index % CHECK_EVERY == 1:
            objective.check(loss, image)
        optimizer.step()
    if not torch.isfinite(pixels).all():
        raise Diverged(recipe.iterations, objective.last_finite)
    return pixels.detach() / scale


def _lbfgs(recipe: Gatys, objective: Objective, start: Image) -> Image:
    """Run torch's L-BFGS for exactly `iterations` passes, tolerances off.

    One `step` carries the whole run: calling it again would spend a pass on what it knows.

    Deviations: torch's first step moves all pixels together by 1. Spread over an image that is a
        millionth each, lost in float32's rounding, and what L-BFGS then believes of the curvature
        is noise: runs explode or stand still. Pixels are scaled so that this first step moves each
        by a hundredth of a grey level on average; every later step is the same at any scale.
    """
    scale = 2.0 ** round(math.log2(2.55 / start.numel()))  # a power of two: nothing is rounded
    pixels = (start * scale).requires_grad_()
    optimizer = torch.optim.LBFGS(
        [pixels],
        lr=recipe.learning_rate or 1.0,
        max_iter=recipe.iterations,
        max_eval=recipe.iterations,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=recipe.history,
        line_search_fn="strong_wolfe" if recipe.line_search == "strong_wolfe" else None,
    )

    def closure() -> float:
        if objective.passes >= recipe.iterations:
            return REFUSED
        optimizer.zero_grad(set_to_none=True)
        image = pixels / scale
        # The line search is in Python: it needs the number, and so waits for the device.
        loss = float(objective.backward(image))
        objective.check(loss, image)
        return loss

    optimizer.step(closure)
    return pixels.detach() / scale
