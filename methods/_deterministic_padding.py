"""Reflection padding with a deterministic gradient on every device.

The backward pass of torch's own padding raises on CUDA under `use_deterministic_algorithms`,
according to the documentation of 2.15 (the library of that release does contain a second kernel).
This one adds slices in a fixed order and needs no such kernel. It is tested on the CPU, not yet on
a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def reflected(x: Tensor, edge: int) -> Tensor:
    """Pad (N, C, H, W) by `edge` pixels on every side, mirrored at the outermost pixel."""
    padded: Tensor = _Reflected.apply(x, edge)
    return padded


class _Reflected(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor, edge: int) -> Tensor:
        context.edge = edge
        return F.pad(x, (edge,) * 4, mode="reflect")

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _folded(_folded(gradient, context.edge, 3), context.edge, 2), None


def _folded(gradient: Tensor, edge: int, axis: int) -> Tensor:
    """Add the gradient of the padding at both ends of an axis to the pixels that it mirrors."""
    size = gradient.shape[axis] - 2 * edge
    inner = gradient.narrow(axis, edge, size).clone()
    before, after = gradient.narrow(axis, 0, edge), gradient.narrow(axis, edge + size, edge)
    inner.narrow(axis, 1, edge).add_(before.flip(axis))
    inner.narrow(axis, size - 1 - edge, edge).add_(after.flip(axis))
    return inner
