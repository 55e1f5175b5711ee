"""Gram matrices of features, and their gradient at half the price."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from methods._options import GramDivisor


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
