"""Reflection padding whose gradient is summed in the same order every time, on every device.

torch lists its own among the operations that raise on CUDA under `use_deterministic_algorithms`,
once they are differentiated (documentation of 2.15; that release's library does hold a second
kernel for it). This one is slices that are added up, and asks nothing of torch: tested on the CPU,
not yet run on a GPU.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def reflected(x: Tensor, edge: int) -> Tensor:
    """Return (N, C, H, W) with `edge` pixels more on every side, mirrored at the outermost."""
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
    """Add what lies beyond either end of an axis to the pixels that it mirrors."""
    size = gradient.shape[axis] - 2 * edge
    inner = gradient.narrow(axis, edge, size).clone()
    before, after = gradient.narrow(axis, 0, edge), gradient.narrow(axis, edge + size, edge)
    inner.narrow(axis, 1, edge).add_(before.flip(axis))
    inner.narrow(axis, size - 1 - edge, edge).add_(after.flip(axis))
    return inner
