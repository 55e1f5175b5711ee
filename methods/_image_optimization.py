"""The loop behind `gatys`: targets measured once, then passes until the budget is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import Diverged
from harness.protocols import Context, Encoder, Image, Step
from methods._cuda_graphs import Pass, passes
from methods._lbfgs import LBFGS, UNBOUNDED
from methods._losses import Target, gram, total_variation
from methods._preconditioners import SpectralScaling, UniformScaling
from methods._recipes import OptimizationRecipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
MIN_EDGE = 16
"""No scale goes below so many pixels: VGG halves an image four times."""

CHECK_EVERY = 10
"""Losses are read off the device every so many passes: each reading waits for it."""

FIRST_STEP = 0.1 / 255
"""L-BFGS moves each pixel by a tenth of a grey level on average before it knows curvatures."""

REFUSED = 1e30
"""What torch's line search is told once the budget is spent; it then settles on its best point."""


class ImageOptimization:
    """A fitted style: its Gram matrices at every scale. Called with a content, it optimises."""

    def __init__(self, recipe: OptimizationRecipe, style: Image, context: Context) -> None:
        self.recipe, self.style = recipe, style
        encoder = _encoder(recipe, context)
        self.grams = [_grams(recipe, encoder, _scaled(style, scale)) for scale in recipe.scales]

    def __call__(self, content: Image, context: Context) -> Image:
        """Return the stylized image, not clamped; raise Diverged where numbers run away."""
        return optimise([self], content, [context])

    def objective(self, content: Image, context: Context) -> Callable[[Image], dict[str, float]]:
        """Return the losses as a function of an image of the content's size."""
        return Objective(self.recipe, content, [self.grams[-1]], [context], 0, 0).at


def optimise(
    styles: Sequence[ImageOptimization], contents: Image, contexts: Sequence[Context]
) -> Image:
    """Stylize contents (N, 3, H, W) in one batch, each with its style, none touching another."""
    recipe = styles[0].recipe
    algorithm = recipe.line_search if recipe.optimizer == "lbfgs" else recipe.optimizer
    if algorithm == "strong_wolfe" and len(styles) > 1:
        singles = zip(styles, contents.split(1), contexts, strict=True)  # its search is in Python
        return torch.cat([optimise([style], one, [context]) for style, one, context in singles])

    run = {"adam": _adam, "strong_wolfe": _strong_wolfe}.get(algorithm, _lbfgs)
    images = torch.cat(
        [start(s, one, c) for s, one, c in zip(styles, contents.split(1), contexts, strict=True)]
    )
    shares = [recipe.iterations * i // len(recipe.scales) for i in range(len(recipe.scales) + 1)]
    for level, (begin, end) in enumerate(pairwise(shares)):
        if begin == end:
            continue
        wanted = _scaled(contents, recipe.scales[level])
        grams = [style.grams[level] for style in styles]
        objective = Objective(recipe, wanted, grams, contexts, begin, end)
        images = run(recipe, objective, _resized(images, wanted.shape[-2:]).contiguous())
    return images  # the last scale is the whole size, and has passes whenever there are any


class Objective:
    """Weighted content, style and TV losses of a batch; counts its passes and reports each."""

    def __init__(
        self,
        recipe: OptimizationRecipe,
        contents: Image,
        grams: Sequence[Mapping[str, Target]],
        contexts: Sequence[Context],
        begin: int,
        end: int,
    ) -> None:
        self.recipe, self.contexts = recipe, contexts
        self.encoder = _encoder(recipe, contexts[0])
        with torch.no_grad():
            found = self.encoder(contents, recipe.content_layers) if recipe.content_layers else {}
        self.wanted = {
            layer: Target(features, recipe.content_reduction, recipe.balance)
            for layer, features in found.items()
        }
        self.grams = {layer: Target.batch([own[layer] for own in grams]) for layer in grams[0]}
        self.passes, self.end = begin, end
        self._like = contents
        self.last_finite: Image | None = None
        self._found: Mapping[str, Tensor] = {}  # losses of the last pass

    @cached_property
    def _pass(self) -> Pass:
        """Record at the first pass; losses alone need no gradient and no recording."""
        return passes(self._losses, self._like, self.contexts[0].note)

    def at(self, image: Image) -> dict[str, float]:
        """Return the losses of one image, without a gradient; this counts as no pass."""
        with torch.no_grad():
            return {name: float(loss) for name, loss in self._losses(image).items()}

    def evaluate(self, images: Image) -> tuple[Tensor, Tensor]:
        """Run one pass; return the detached total losses (N,) and the gradient (N, 3, H, W)."""
        self._found, gradient = self._pass(images)
        self.passes += 1
        return self._found["total"], gradient

    def _losses(self, images: Image) -> dict[str, Tensor]:
        recipe = self.recipe
        features = self.encoder(images, recipe.layers)
        losses = {
            "content": recipe.content_weight * self._content(features),
            "style": recipe.style_weight * self._style(features),
        }
        if recipe.tv_weight:
            variation = total_variation(
                images * recipe.pixel_scale, recipe.tv_kind, recipe.tv_reduction
            )
            losses["tv"] = recipe.tv_weight * variation
        losses["total"] = sum(losses.values(), start=images.new_zeros(()))
        return losses

    def check(self, losses: Tensor, images: Image) -> None:
        """Keep the images while all losses are finite; end the run where one is not."""
        if not torch.isfinite(losses).all():
            raise Diverged(self.passes, self.last_finite)
        self.last_finite = images.detach().clone()

    def report(self, images: Image) -> None:
        """Tell of the last pass, and what there would be if it were the end."""
        for member, context in enumerate(self.contexts):
            found = self._found.items()
            own = {name: loss.expand(len(self.contexts))[member] for name, loss in found}
            image = images[member : member + 1]
            context.on_step(Step(self.passes, self.recipe.iterations, own, image))

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


def start(style: ImageOptimization, content: Image, context: Context) -> Image:
    """Return the image that an optimisation starts from."""
    recipe = style.recipe
    if recipe.init == "content":
        return content.clone()
    if recipe.init == "style":
        return _resized(style.style, content.shape[-2:])
    noise = torch.randn(content.shape, generator=context.generator).to(content)
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1).to(content)
    return mean + recipe.noise_sigma * noise


def bounds(recipe: OptimizationRecipe) -> tuple[float, float]:
    """Return the lowest and the highest value that a pixel may take on the way."""
    return (0.0, 1.0) if recipe.bounded else UNBOUNDED


def _encoder(recipe: OptimizationRecipe, context: Context) -> Encoder:
    return context.encoder.with_options(pooling=recipe.pooling, scale=recipe.scale, upcast=False)


def _grams(recipe: OptimizationRecipe, encoder: Encoder, style: Image) -> dict[str, Target]:
    with torch.no_grad():
        features = encoder(style, recipe.style_layers) if recipe.style_layers else {}
    return {
        layer: Target(gram(f, recipe.gram_divisor), recipe.style_reduction, recipe.balance)
        for layer, f in features.items()
    }


def _scaled(images: Image, scale: float) -> Image:
    if scale == 1:
        return images
    return _resized(images, [max(MIN_EDGE, round(edge * scale)) for edge in images.shape[-2:]])


def _resized(images: Image, size: Sequence[int]) -> Image:
    if list(images.shape[-2:]) == list(size):
        return images
    return F.interpolate(images, list(size), mode="bilinear", antialias=True)


def _weighted(
    losses: Sequence[Tensor],
    found: Iterable[str],
    layers: Sequence[str],
    weights: Sequence[float] | None,
) -> Tensor:
    weight = dict(zip(layers, weights or (1.0,) * len(layers), strict=True))
    return sum((weight[n] * v for n, v in zip(found, losses, strict=True)), start=torch.zeros(()))


def _adam(recipe: OptimizationRecipe, objective: Objective, images: Image) -> Image:
    scale = recipe.pixel_scale  # the unit of the learning rate
    low, high = (scale * bound for bound in bounds(recipe))
    pixels = (images * scale).clamp_(low, high).requires_grad_()
    rate, betas = recipe.learning_rate or 0.02, (0.9, recipe.beta2)
    optimizer = torch.optim.Adam([pixels], lr=rate, betas=betas, fused=True)
    while objective.passes < objective.end:
        images = pixels.detach() / scale
        losses, gradient = objective.evaluate(images)
        objective.report(images)
        if objective.passes % CHECK_EVERY == 1:
            objective.check(losses, images)
        pixels.grad = gradient.contiguous() / scale
        optimizer.step()
        pixels.detach().clamp_(low, high)
    if not torch.isfinite(pixels).all():
        raise Diverged(objective.passes, objective.last_finite)
    return pixels.detach() / scale


def _lbfgs(recipe: OptimizationRecipe, objective: Objective, images: Image) -> Image:
    optimizer = LBFGS(
        images.flatten(1),
        history=recipe.history,
        scaling=SpectralScaling(images) if recipe.scaling == "spectral" else UniformScaling(),
        first_step=FIRST_STEP,
        rate=recipe.learning_rate or 1.0,
        backtracking=recipe.line_search == "backtracking",
        bounds=bounds(recipe),
    )
    while objective.passes < objective.end:
        losses, gradient = objective.evaluate(optimizer.point.view_as(images))
        optimizer.tell(losses, gradient.flatten(1))
        objective.report(optimizer.best.view_as(images))  # a trial may have overshot
        if objective.passes % CHECK_EVERY == 1 or objective.passes == objective.end:
            objective.check(optimizer.value, optimizer.best.view_as(images))
    return optimizer.best.view_as(images)


def _strong_wolfe(recipe: OptimizationRecipe, objective: Objective, images: Image) -> Image:
    """Run torch's L-BFGS for the passes of the budget, tolerances off; note where it ends early.

    One `step` carries the whole run: calling it again would spend a pass on what it knows.

    Deviations: torch's first step moves all pixels together by 1. Spread over an image that is a
        millionth each, lost in float32's rounding, and what L-BFGS then believes of the curvature
        is noise: runs explode or stand still. Pixels are scaled so that this first step moves each
        by a tenth of a grey level on average; every later step is the same at any scale.
    """
    scale = 2.0 ** round(-math.log2(FIRST_STEP * images.numel()))  # exact: nothing is rounded
    pixels = (images * scale).requires_grad_()
    budget = objective.end - objective.passes
    optimizer = torch.optim.LBFGS(
        [pixels],
        lr=recipe.learning_rate or 1.0,
        max_iter=budget,
        max_eval=budget,
        tolerance_grad=0,
        tolerance_change=0,
        history_size=recipe.history,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        if objective.passes >= objective.end:
            return REFUSED
        image = pixels.detach() / scale
        losses, gradient = objective.evaluate(image)
        objective.report(image)
        pixels.grad = gradient.contiguous() / scale
        objective.check(losses, image)
        return float(losses)  # the search is in Python: it needs the number, and so waits

    optimizer.step(closure)
    if objective.passes < objective.end:
        objective.contexts[0].note(
            f"torch's line search found no way down after {objective.passes} of {objective.end} "
            "passes, and ended the run. Rounding does this: `--precision float32` gets farther."
        )
    return pixels.detach() / scale
