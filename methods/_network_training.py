"""Training and use of the transformer net, for `johnson`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import Diverged, WeightsError
from harness.protocols import Context, Image, Step
from methods import _checkpoint_files, _network_tiles
from methods._losses import content_targets, gram, style_targets, total_variation
from methods._recipes import NetworkRecipe, TrainingRecipe
from methods._transformer_net import TransformerNet

CHECK_EVERY = 25
"""Number of steps between reads of the loss: each read waits for the device."""

FIRST_CONTRAST = 0.2
"""Factor on the initial weights of the last layer, for training with the output `centered`.

Without it the first images are noise of high contrast. Their style loss is large, and Adam's
averages of the squared gradient are too high for hundreds of steps.
"""


class FeedForward:
    """A trained network in eval mode: batch normalisation uses its running statistics."""

    def __init__(self, network: TransformerNet) -> None:
        self.network = network.eval().requires_grad_(False)

    def __call__(self, content: Image, context: Context) -> Image:
        """Return the stylized images (N, 3, H, W), not clamped."""
        with torch.inference_mode():
            image: Image = self.network(content)
        return image.clone()

    def in_tiles(self, content: Image, tile: int) -> Image:
        """Return the same image (1, 3, H, W), up to rounding, in less memory."""
        with torch.inference_mode():
            image = _network_tiles.stylize(self.network, content, tile)
        return image.clone()

    def tensors(self) -> dict[str, Tensor]:
        """Return the network's state, contiguous, on the CPU."""
        return {k: v.cpu().contiguous() for k, v in self.network.state_dict().items()}

    @classmethod
    def restore(
        cls, recipe: NetworkRecipe, tensors: dict[str, Tensor], context: Context
    ) -> FeedForward:
        """Load tensors into a network; raise WeightsError if they do not fit the recipe."""
        network = TransformerNet(recipe, context.encoder.dtype)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise WeightsError(
                f"The checkpoint does not fit norm={recipe.norm}, upsample={recipe.upsample}, "
                f"width={recipe.width}: {str(error).splitlines()[1].strip()}"
            ) from None
        return cls(_to_device(network, context))


def from_checkpoint(recipe: TrainingRecipe, context: Context) -> FeedForward:
    """Load `checkpoint`; its unused statistics are dropped with a note.

    Raises:
        WeightsError: It is not a network of nstbench or pytorch/examples, or contradicts the
            recipe.
    """
    path = Path(recipe.checkpoint or "")
    _checkpoint_files.check(recipe, _checkpoint_files.inspect(path))
    tensors, dropped = _checkpoint_files.tensors_of(path)
    if dropped:
        context.note(
            f"{path.name}: unused entries of old instance normalisation dropped "
            f"({len(dropped)}: {dropped[0]} ...)."
        )
    return FeedForward.restore(recipe, tensors, context)


def train(recipe: TrainingRecipe, style: Image, context: Context) -> FeedForward:
    """Train a network; with 0 steps, return it with its initial weights.

    Training continues from the last checkpoint of an interrupted process and gives the same
    network: the sequence of batches is the same, the first ones are skipped, and training draws no
    other random numbers.

    Raises:
        Diverged: The loss is not finite.
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
    if state := context.checkpoints.load():
        for name, part in parts.items():
            part.load_state_dict(state[name])
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
    """Return the learning rate after `step` steps, as a share of the recipe's."""
    rising = recipe.warm_up * recipe.steps
    if step < rising:
        return (step + 1) / (rising + 1)
    if recipe.schedule == "constant":
        return 1.0
    return (recipe.steps - step) / (recipe.steps - rising)


def _network(recipe: NetworkRecipe, context: Context) -> TransformerNet:
    # torch initialises weights from the global generator. Seed it from the context's, so that
    # variants start with equal weights in equal layers.
    seed = int(torch.randint(2**31, (1,), generator=context.generator))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TransformerNet(recipe, context.encoder.dtype)
    return _to_device(network, context).train()


def _to_device(network: TransformerNet, context: Context) -> TransformerNet:
    return network.to(context.device).to(memory_format=torch.channels_last)


class Objective:
    """Weighted content, style and TV losses, averaged over the batch.

    `gatys` has an objective of its own, which keeps the images of a batch apart. Averaging its
    losses would round differently, and trained networks would change.
    """

    def __init__(self, recipe: TrainingRecipe, style: Image, context: Context) -> None:
        self.recipe = recipe
        self.encoder = context.encoder.with_options(scale=recipe.scale, upcast=False)
        self.grams = style_targets(recipe, self.encoder, style)
        weights = recipe.style_layer_weights or (1.0,) * len(recipe.style_layers)
        self.style_layer_weights = dict(zip(recipe.style_layers, weights, strict=True))

    def __call__(self, contents: Image, stylized: Image) -> dict[str, Tensor]:
        """Return the losses by name, including `total`."""
        recipe = self.recipe
        targets = content_targets(recipe, self.encoder, contents)
        features = self.encoder(stylized, recipe.layers)
        content = [target(features[layer]).mean() for layer, target in targets.items()]
        losses = {
            "content": recipe.content_weight * torch.stack(content).sum(),
            "style": recipe.style_weight * self._style(features),
        }
        if recipe.tv_weight:
            variation = total_variation(
                stylized * recipe.pixel_scale, recipe.tv_kind, recipe.tv_reduction
            )
            losses["tv"] = recipe.tv_weight * variation.mean()
        losses["total"] = torch.stack(list(losses.values())).sum()
        return losses

    def _style(self, features: Mapping[str, Tensor]) -> Tensor:
        terms = []
        for layer, target in self.grams.items():
            loss = target(gram(features[layer], self.recipe.gram_divisor)).mean()
            terms.append(self.style_layer_weights[layer] * loss)
        return torch.stack(terms).sum()
