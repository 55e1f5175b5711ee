"""Optimisation of the pixels of an image, for `gatys`.

`ImageOptimization` is a fitted style. Calling it runs one of three loops (`_adam`, `_lbfgs`,
`_strong_wolfe`), and each iteration of a loop evaluates the `Objective` once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.errors import Diverged
from harness.protocols import Context, Encoder, Image, Step
from methods._cuda_graphs import Pass
from methods._lbfgs import LBFGS, UNBOUNDED
from methods._losses import Target, content_targets, gram, style_targets, total_variation
from methods._preconditioners import SpectralScaling, UniformScaling
from methods._recipes import OptimizationRecipe

IMAGENET_MEAN = (0.485, 0.456, 0.406)
MIN_EDGE = 16
"""Shortest edge of an image at any scale, in pixels: VGG halves an image four times."""

CHECK_EVERY = 10
"""Number of passes between reads of the losses: each read waits for the device."""

FIRST_STEP = 0.1 / 255
"""Mean change of a pixel in the first step of L-BFGS, which does not know the curvature yet."""

REJECTED_LOSS = 1e30
"""Loss of all points after the last pass of the budget: torch's line search then returns its best
point."""


class ImageOptimization:
    """A fitted style: its Gram matrices at every scale."""

    def __init__(self, recipe: OptimizationRecipe, style: Image, context: Context) -> None:
        self.recipe, self.style = recipe, style
        encoder = _encoder(recipe, context)
        self.grams = [
            style_targets(recipe, encoder, _scaled(style, scale)) for scale in recipe.scales
        ]

    def __call__(self, content: Image, context: Context) -> Image:
        """Return the stylized image, not clamped; raise Diverged if the losses are not finite."""
        return optimize([self], content, [context])

    def objective(self, content: Image, context: Context) -> Callable[[Image], dict[str, float]]:
        """Return the losses as a function of an image of the content's size."""
        return Objective(self.recipe, content, [self.grams[-1]], [context], 0, 0).at


def optimize(
    styles: Sequence[ImageOptimization], contents: Image, contexts: Sequence[Context]
) -> Image:
    """Stylize contents (N, 3, H, W), each with its own style; the images are independent."""
    recipe = styles[0].recipe
    algorithm = recipe.line_search if recipe.optimizer == "lbfgs" else recipe.optimizer
    if algorithm == "strong_wolfe" and len(styles) > 1:  # torch's line search runs one problem
        singles = zip(styles, contents.split(1), contexts, strict=True)
        return torch.cat([optimize([style], one, [context]) for style, one, context in singles])

    run = {"adam": _adam, "strong_wolfe": _strong_wolfe}.get(algorithm, _lbfgs)
    images = torch.cat(
        [start(s, one, c) for s, one, c in zip(styles, contents.split(1), contexts, strict=True)]
    )
    shares = [recipe.iterations * i // len(recipe.scales) for i in range(len(recipe.scales) + 1)]
    for level, (begin, end) in enumerate(pairwise(shares)):
        if begin == end:
            continue
        scaled = _scaled(contents, recipe.scales[level])
        grams = [style.grams[level] for style in styles]
        objective = Objective(recipe, scaled, grams, contexts, begin, end)
        images = run(recipe, objective, _resized(images, scaled.shape[-2:]).contiguous())
    return images  # of full size: the last scale has at least one pass


class Objective:
    """Weighted content, style and TV losses of a batch; counts and reports its passes.

    Args:
        recipe: The weights and the normalisation of the losses.
        contents: (N, 3, H, W).
        grams: The style targets of each image, by layer.
        contexts: One for each image.
        begin: Number of passes that earlier scales used.
        end: Number of passes after this scale.
    """

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
        self.contents = content_targets(recipe, self.encoder, contents)
        self.grams = {layer: Target.batch([own[layer] for own in grams]) for layer in grams[0]}
        self.passes, self.end = begin, end
        self._like = contents
        self.last_finite: Image | None = None
        self._last_losses: Mapping[str, Tensor] = {}

    @cached_property
    def _pass(self) -> Pass:
        """The recorded pass; `at` does not need it."""
        return Pass(self._losses, self._like, self.contexts[0].note)

    def at(self, image: Image) -> dict[str, float]:
        """Return the losses of one image. This does not count as a pass."""
        with torch.no_grad():
            return {name: float(loss) for name, loss in self._losses(image).items()}

    def evaluate(self, images: Image) -> tuple[Tensor, Tensor]:
        """Run one pass; return the detached total losses (N,) and the gradient (N, 3, H, W)."""
        self._last_losses, gradient = self._pass(images)
        self.passes += 1
        return self._last_losses["total"], gradient

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

    def _content(self, features: Mapping[str, Tensor]) -> Tensor:
        recipe = self.recipe
        losses = {layer: target(features[layer]) for layer, target in self.contents.items()}
        return _weighted_sum(losses, recipe.content_layers, recipe.content_layer_weights)

    def _style(self, features: Mapping[str, Tensor]) -> Tensor:
        recipe = self.recipe
        losses = {}
        for layer, target in self.grams.items():
            loss = target(gram(features[layer], recipe.gram_divisor))
            size = features[layer][0].numel()
            losses[layer] = loss / size if recipe.style_per_element else loss
        return _weighted_sum(losses, recipe.style_layers, recipe.style_layer_weights)

    def check(self, losses: Tensor, images: Image) -> None:
        """Save the images if all losses are finite; otherwise raise Diverged."""
        if not torch.isfinite(losses).all():
            raise Diverged(self.passes, self.last_finite)
        self.last_finite = images.detach().clone()

    def report(self, images: Image) -> None:
        """Report the losses of the last pass and the images that would be the result now."""
        for member, context in enumerate(self.contexts):
            losses = {
                name: loss.expand(len(self.contexts))[member]
                for name, loss in self._last_losses.items()
            }
            image = images[member : member + 1]
            context.on_step(Step(self.passes, self.recipe.iterations, losses, image))


def start(style: ImageOptimization, content: Image, context: Context) -> Image:
    """Return the initial image of an optimisation."""
    recipe = style.recipe
    if recipe.init == "content":
        return content.clone()
    if recipe.init == "style":
        return _resized(style.style, content.shape[-2:])
    noise = torch.randn(content.shape, generator=context.generator).to(content)
    mean = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1).to(content)
    return mean + recipe.noise_sigma * noise


def _bounds(recipe: OptimizationRecipe) -> tuple[float, float]:
    """Return the lowest and the highest value of a pixel during the optimisation."""
    return (0.0, 1.0) if recipe.bounded else UNBOUNDED


def _encoder(recipe: OptimizationRecipe, context: Context) -> Encoder:
    return context.encoder.with_options(pooling=recipe.pooling, scale=recipe.scale, upcast=False)


def _scaled(images: Image, scale: float) -> Image:
    if scale == 1:
        return images
    return _resized(images, [max(MIN_EDGE, round(edge * scale)) for edge in images.shape[-2:]])


def _resized(images: Image, size: Sequence[int]) -> Image:
    if list(images.shape[-2:]) == list(size):
        return images
    return F.interpolate(images, list(size), mode="bilinear", antialias=True)


def _weighted_sum(
    losses: Mapping[str, Tensor], layers: Sequence[str], weights: Sequence[float] | None
) -> Tensor:
    weight = dict(zip(layers, weights or (1.0,) * len(layers), strict=True))
    return sum((weight[layer] * loss for layer, loss in losses.items()), start=torch.zeros(()))


def _adam(recipe: OptimizationRecipe, objective: Objective, images: Image) -> Image:
    scale = recipe.pixel_scale  # the unit of the learning rate
    low, high = (scale * bound for bound in _bounds(recipe))
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
        bounds=_bounds(recipe),
    )
    while objective.passes < objective.end:
        losses, gradient = objective.evaluate(optimizer.point.view_as(images))
        optimizer.tell(losses, gradient.flatten(1))
        objective.report(optimizer.best.view_as(images))  # not the trial point, which may be worse
        if objective.passes % CHECK_EVERY == 1 or objective.passes == objective.end:
            objective.check(optimizer.value, optimizer.best.view_as(images))
    return optimizer.best.view_as(images)


def _strong_wolfe(recipe: OptimizationRecipe, objective: Objective, images: Image) -> Image:
    """Run torch's L-BFGS without tolerances for the passes of the budget; note an early end.

    One call of `step` runs all passes. A second call would evaluate the last point again.

    Deviations: torch's first step changes all pixels together by 1, that is each pixel of an image
        by about a millionth. Rounding to float32 loses this change, the estimate of the curvature
        is noise, and runs diverge or stop moving. Pixels are scaled so that the first step changes
        each by a tenth of a grey level on average. Later steps do not depend on the scale.
    """
    scale = 2.0 ** round(
        -math.log2(FIRST_STEP * images.numel())
    )  # a power of two: scaling does not round
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
            return REJECTED_LOSS
        image = pixels.detach() / scale
        losses, gradient = objective.evaluate(image)
        objective.report(image)
        pixels.grad = gradient.contiguous() / scale
        objective.check(losses, image)
        return float(losses)  # torch's line search runs on the host and needs the number

    optimizer.step(closure)
    if objective.passes < objective.end:
        objective.contexts[0].note(
            f"torch's line search found no lower point after {objective.passes} of {objective.end} "
            "passes and ended the run. The cause is rounding: `--precision float32` runs longer."
        )
    return pixels.detach() / scale
