"""The losses of style transfer, as functions of features and images.

The normalisation is always an argument: the literature has six of them, and a loss or a weight is
meaningless without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.protocols import Encoder, Image
from methods._recipes import Balance, GramDivisor, LossRecipe, Reduction


def gram(features: Tensor, divisor: GramDivisor) -> Tensor:
    """Return the Gram matrices (N, C, C) of features (N, C, H, W), summed in float32.

    `hw` divides by positions (leongatys), `chw` by all elements (Johnson), `none` by nothing.
    """
    _, c, h, w = features.shape
    products: Tensor = _ChannelProducts.apply(features)
    return products / {"hw": h * w, "chw": c * h * w, "none": 1}[divisor]


class _ChannelProducts(torch.autograd.Function):
    """Products of all pairs of channels, summed over positions.

    Autograd would run two matrix products in the backward pass, one for each factor. Both factors
    are the same features, so one product with G + G^T gives the sum. Positions are the rows, which
    is the encoder's memory layout, so neither direction copies. Products of bfloat16 features are
    summed in float32; the backward pass runs in bfloat16, to which its result is rounded anyway.
    """

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        rows = features.permute(0, 2, 3, 1).flatten(1, 2)  # (N, H*W, C)
        context.save_for_backward(rows)
        context.size = features.shape[-2:]
        exact = rows.float()
        return exact.mT @ exact

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (rows,) = context.saved_tensors
        both: Tensor = rows @ (gradient + gradient.mT).to(rows.dtype)
        return both.view(len(rows), *context.size, -1).permute(0, 3, 1, 2)


def squared_error(values: Tensor, target: Tensor, reduction: Reduction) -> Tensor:
    """Return the squared error (N,) of each member of the batch, in float32.

    `mean` is over all elements; `half_sum` is half of the `sum`, as in the papers.
    """
    total: Tensor = _SumOfSquares.apply(values - target)
    if reduction == "mean":
        return total / values[0].numel()
    return total * 0.5 if reduction == "half_sum" else total


class _SumOfSquares(torch.autograd.Function):
    """Squares summed in float32, without a float32 copy of bfloat16 input."""

    @staticmethod
    def forward(context: Any, difference: Tensor) -> Tensor:
        context.save_for_backward(difference)
        wide = torch.promote_types(difference.dtype, torch.float32)
        norms = [torch.linalg.vector_norm(one, dtype=wide) for one in difference]
        return torch.stack(norms).square()

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (difference,) = context.saved_tensors
        factors = (2 * gradient).to(difference.dtype)
        back: Tensor = difference * factors.view(-1, *[1] * (difference.dim() - 1))
        return back


class Target:
    """The squared error to target features or Gram matrices.

    `relative` divides it by the target's own sum of squares, which is computed once.
    """

    def __init__(self, target: Tensor, reduction: Reduction, balance: Balance) -> None:
        self.target, self.reduction, self.balance = target, reduction, balance
        zero = target.new_zeros(())
        self.size = squared_error(target, zero, reduction) if balance == "relative" else None

    @classmethod
    def batch(cls, targets: Sequence[Target]) -> Target:
        """Join the targets (1, ...) of several images into one target for their batch."""
        first = targets[0]
        if len(targets) == 1:
            return first
        joined = torch.cat([target.target for target in targets])
        return cls(joined, first.reduction, first.balance)

    def __call__(self, values: Tensor) -> Tensor:
        """Return the squared errors (N,)."""
        loss = squared_error(values, self.target, self.reduction)
        return loss if self.size is None else loss / self.size


def content_targets(recipe: LossRecipe, encoder: Encoder, contents: Image) -> dict[str, Target]:
    """Return the targets of content images, by layer."""
    layers = recipe.content_layers
    with torch.no_grad():
        features = encoder(contents, layers) if layers else {}
    return {
        layer: Target(values, recipe.content_reduction, recipe.balance)
        for layer, values in features.items()
    }


def style_targets(recipe: LossRecipe, encoder: Encoder, style: Image) -> dict[str, Target]:
    """Return the Gram matrices of a style image as targets, by layer."""
    layers = recipe.style_layers
    with torch.no_grad():
        features = encoder(style, layers) if layers else {}
    return {
        layer: Target(gram(values, recipe.gram_divisor), recipe.style_reduction, recipe.balance)
        for layer, values in features.items()
    }


def total_variation(image: Tensor, kind: Literal["l1", "l2"], reduction: Reduction) -> Tensor:
    """Return the differences (N,) between vertical and between horizontal neighbours.

    `l1` takes absolute differences (neural-style-pt, gordicaleksa), `l2` squares (Johnson).
    `mean` is the mean of the vertical differences plus the mean of the horizontal ones.
    """
    down, right = image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]
    parts = [d.abs() if kind == "l1" else d.square() for d in (down, right)]
    if reduction == "mean":
        return parts[0].mean((1, 2, 3)) + parts[1].mean((1, 2, 3))
    total = parts[0].sum((1, 2, 3)) + parts[1].sum((1, 2, 3))
    return total * 0.5 if reduction == "half_sum" else total
