"""Training and use of the transformer net behind `johnson`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import Diverged, WeightsError
from harness.protocols import Context, Image, Step
from harness.resources.weights import load_tensors
from methods._losses import Target, gram, total_variation
from methods._recipes import TrainingRecipe
from methods._transformer_net import TransformerNet, from_examples, is_from_examples

CHECK_EVERY = 25
"""The loss is read off the device every so many steps: each reading waits for it."""

FIRST_CONTRAST = 0.2
"""Factor on the initial weights of the last layer, for training with the output `centered`.

Without it the first images are noise of high contrast. Their style loss is large, and Adam's
averages of the squared gradient remember it for hundreds of steps.
"""


class FeedForward:
    """A trained network, in eval mode: batch normalisation uses its running statistics."""

    def __init__(self, network: TransformerNet) -> None:
        self.network = network.eval().requires_grad_(False)

    def __call__(self, content: Image, context: Context) -> Image:
        """Return the stylized image in one pass, not clamped."""
        with torch.inference_mode():
            image: Image = self.network(content)
        return image.clone()

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's state, contiguous, on the CPU."""
        return {k: v.cpu().contiguous() for k, v in self.network.state_dict().items()}

    @classmethod
    def restore(
        cls, recipe: TrainingRecipe, tensors: dict[str, Tensor], context: Context
    ) -> FeedForward:
        """Put tensors back into a network; raise WeightsError where they do not fit."""
        network = TransformerNet(recipe, context.encoder.dtype)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(
                f"The checkpoint does not fit norm={recipe.norm}, upsample={recipe.upsample}, "
                f"width={recipe.width}: {str(error).splitlines()[1].strip()}"
            ) from None
        return cls(_placed(network, context))


def from_checkpoint(recipe: TrainingRecipe, context: Context) -> FeedForward:
    """Load `checkpoint`: ours, or pytorch/examples', whose unused statistics are dropped."""
    assert recipe.checkpoint is not None
    tensors = load_tensors(Path(recipe.checkpoint))
    if is_from_examples(tensors):
        tensors, dropped = from_examples(tensors)
        if dropped:
            context.note(
                f"{Path(recipe.checkpoint).name}: {len(dropped)} unused entries of old instance "
                f"normalisation dropped ({dropped[0]} ...)."
            )
    return FeedForward.restore(recipe, tensors, context)


def train(recipe: TrainingRecipe, style: Image, context: Context) -> FeedForward:
    """Train a network for `steps` steps; none leave it as it was drawn.

    Where an earlier process died, it goes on from its last checkpoint: to the same network, since
    batches are drawn from their own beginning and nothing else is drawn on the way.

    Raises:
        Diverged: The loss ran away.
    """
    network = _network(recipe, context)
    if not recipe.steps:
        return FeedForward(network)
    if recipe.output == "centered":
        with torch.no_grad():
            for parameter in network.out.parameters():
                parameter.mul_(FIRST_CONTRAST)
    objective = Objective(recipe, style, context)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(recipe, step))
    parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    if found := context.checkpoints.load():
        for name, part in parts.items():
            part.load_state_dict(found[name])
    done = schedule.last_epoch
    batches = context.batches(recipe.batch_size, recipe.crop, done)
    for index in range(done + 1, recipe.steps + 1):
        contents = next(batches).to(context.device, non_blocking=True)
        losses = objective(contents, network(contents))
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        optimizer.step()
        schedule.step()
        detached = {name: loss.detach() for name, loss in losses.items()}
        context.on_step(Step(index, recipe.steps, detached))
        if (index % CHECK_EVERY == 0 or index == recipe.steps) and not torch.isfinite(
            detached["total"]
        ):
            raise Diverged(index, None)
        context.checkpoints.offer(lambda: {name: p.state_dict() for name, p in parts.items()})
    return FeedForward(network)


def rate(recipe: TrainingRecipe, step: int) -> float:
    """Return the learning rate of the step after `step` steps, as a share of the recipe's."""
    rising = recipe.warm_up * recipe.steps
    if step < rising:
        return (step + 1) / (rising + 1)
    if recipe.schedule == "constant":
        return 1.0
    return (recipe.steps - step) / (recipe.steps - rising)


def _network(recipe: TrainingRecipe, context: Context) -> TransformerNet:
    # torch's initialisers draw from the global generator: it is seeded from ours for the moment,
    # so that variants whose layers agree start from the same weights.
    seed = int(torch.randint(2**31, (1,), generator=context.generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TransformerNet(recipe, context.encoder.dtype)
    return _placed(network, context).train()


def _placed(network: TransformerNet, context: Context) -> TransformerNet:
    return network.to(context.device).to(memory_format=torch.channels_last)


class Objective:
    """Weighted content, style and TV loss of a batch; the style's Gram matrices are kept."""

    def __init__(self, recipe: TrainingRecipe, style: Image, context: Context) -> None:
        self.recipe = recipe
        self.encoder = context.encoder.with_options(scale=recipe.scale, upcast=False)
        with torch.no_grad():
            features = self.encoder(style, recipe.style_layers)
        self.grams = {
            layer: Target(gram(f, recipe.gram_divisor), recipe.style_reduction, recipe.balance)
            for layer, f in features.items()
        }
        weights = recipe.style_layer_weights or (1.0,) * len(recipe.style_layers)
        self.style_layer_weights = dict(zip(recipe.style_layers, weights, strict=True))

    def __call__(self, contents: Image, stylized: Image) -> dict[str, Tensor]:
        """Return weighted losses by name, `total` among them, averaged over the batch."""
        recipe = self.recipe
        with torch.no_grad():  # the contents run no deeper than the content layers
            wanted = self.encoder(contents, recipe.content_layers)
        features = self.encoder(stylized, recipe.layers)
        losses = {
            "content": recipe.content_weight * self._content(features, wanted),
            "style": recipe.style_weight * self._style(features),
        }
        if recipe.tv_weight:
            variation = total_variation(
                stylized * recipe.pixel_scale, recipe.tv_kind, recipe.tv_reduction
            )
            losses["tv"] = recipe.tv_weight * variation.mean()
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses

    def _content(self, features: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Tensor:
        recipe = self.recipe
        terms = [
            Target(target, recipe.content_reduction, recipe.balance)(features[layer]).mean()
            for layer, target in wanted.items()
        ]
        return torch.stack(terms).sum()

    def _style(self, features: Mapping[str, Tensor]) -> Tensor:
        recipe = self.recipe
        terms = []
        for layer, target in self.grams.items():
            loss = target(gram(features[layer], recipe.gram_divisor)).mean()
            terms.append(self.style_layer_weights[layer] * loss)
        return torch.stack(terms).sum()
