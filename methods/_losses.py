"""The losses of style transfer, as pure functions of features and images.

Each takes its normalisation as an argument, since the literature has six of them and no number
means anything without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from methods._recipes import Balance, GramDivisor, Reduction


def gram(features: Tensor, divisor: GramDivisor) -> Tensor:
    """Return the Gram matrices (N, C, C) of features (N, C, H, W), summed up in float32.

    `hw` divides by positions (leongatys), `chw` by all elements (Johnson), `none` by nothing.
    """
    _, c, h, w = features.shape
    products: Tensor = _Products.apply(features)
    return products / {"hw": h * w, "chw": c * h * w, "none": 1}[divisor]


class _Products(torch.autograd.Function):
    """Channels times channels, summed over positions.

    Autograd would multiply twice on the way back, once for either factor, and add: but the factors
    are one, so the two gradients are one with G + G^T. Positions come first, as the encoder lays
    them out, so that neither way copies. Features may come in bfloat16: their products are summed
    in float32, and the way back, which rounds to bfloat16 anyway, is taken in it.
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


def squared_error(got: Tensor, wanted: Tensor, reduction: Reduction) -> Tensor:
    """Return the squared error (N,) of each member of the batch, in float32.

    `mean` over all elements, their `sum`, or `half_sum`, the papers' one half of it.
    """
    total: Tensor = _SumOfSquares.apply(got - wanted)
    if reduction == "mean":
        return total / got[0].numel()
    return total * 0.5 if reduction == "half_sum" else total


class _SumOfSquares(torch.autograd.Function):
    """Squares summed up in float32 without a float32 copy of what may come in bfloat16."""

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
    """What features or Gram matrices should become; called with what they are, gives the loss.

    `relative` divides by the target's own size, which is worked out once, not in every pass.
    """

    def __init__(self, wanted: Tensor, reduction: Reduction, balance: Balance) -> None:
        self.wanted, self.reduction, self.balance = wanted, reduction, balance
        nothing = wanted.new_zeros(())
        self.size = squared_error(wanted, nothing, reduction) if balance == "relative" else None

    @classmethod
    def batch(cls, targets: Sequence[Target]) -> Target:
        """Return the targets (1, ...) of several images as that of a batch of them."""
        first = targets[0]
        if len(targets) == 1:
            return first
        wanted = torch.cat([target.wanted for target in targets])
        return cls(wanted, first.reduction, first.balance)

    def __call__(self, got: Tensor) -> Tensor:
        """Return the squared errors (N,)."""
        loss = squared_error(got, self.wanted, self.reduction)
        return loss if self.size is None else loss / self.size


def total_variation(image: Tensor, kind: Literal["l1", "l2"], reduction: Reduction) -> Tensor:
    """Return how much neighbouring pixels differ (N,), down and to the right.

    `l1` takes absolute differences (neural-style-pt, gordicaleksa), `l2` squares (Johnson).
    `mean` is the mean over rows' differences plus that over columns' differences.
    """
    down, right = image[..., 1:, :] - image[..., :-1, :], image[..., 1:] - image[..., :-1]
    parts = [d.abs() if kind == "l1" else d.square() for d in (down, right)]
    if reduction == "mean":
        return parts[0].mean((1, 2, 3)) + parts[1].mean((1, 2, 3))
    total = parts[0].sum((1, 2, 3)) + parts[1].sum((1, 2, 3))
    return total * 0.5 if reduction == "half_sum" else total
