"""Faster forms of two convolutions of the transformer net; the results differ by rounding only."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def enlarge_and_convolve(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Upsample by two (nearest neighbour) and convolve 3x3, without the upsampled copy.

    Upsampling is a transposed convolution with a 2x2 kernel of ones. Together with the 3x3 kernel
    it is one transposed convolution with a 4x4 kernel, which needs 4/9 of the products.

    Args:
        x: (N, inward, H + 2, W + 2), already padded by one.
        weight: (out, inward, 3, 3).
        bias: (out,).

    Returns:
        (N, out, 2H, 2W), equal to `conv2d(interpolate(x, scale_factor=2), weight, bias)` there.
    """
    out, inward = weight.shape[:2]
    flipped = weight.flip(2, 3).reshape(out * inward, 1, 3, 3)
    wide = F.conv_transpose2d(flipped.float(), flipped.new_ones(1, 1, 2, 2, dtype=torch.float32))
    kernel = wide.view(out, inward, 4, 4).transpose(0, 1).to(x.dtype)
    return F.conv_transpose2d(x, kernel, bias, stride=2, padding=3)


def convolve_to_few(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve to a few channels without padding, as the last layer does to three.

    A matrix product with three columns uses a small part of a processor. On the CPU each column of
    the kernel therefore computes its own channels, 27 for a 9x9 kernel and three outputs, which
    are then shifted and added.

    Args:
        x: (N, inward, H, W).
        weight: (out, inward, k, k), in the type of `x`.

    Returns:
        float32 (N, out, H - k + 1, W - k + 1).
    """
    if x.device.type != "cpu":
        return F.conv2d(x, weight).float()
    columns = weight.permute(3, 0, 1, 2).flatten(0, 1).unsqueeze(3)  # (k * out, inward, k, 1)
    layout = torch.channels_last
    shifted: Tensor = _ShiftedSum.apply(
        F.conv2d(x, columns.to(memory_format=layout)), weight.shape[3]
    )
    return shifted


class _ShiftedSum(torch.autograd.Function):
    """Sum k groups of channels in float32, with the i-th group shifted i pixels to the left."""

    @staticmethod
    def forward(context: Any, x: Tensor, groups: int) -> Tensor:
        context.groups, context.dtype = groups, x.dtype
        width = x.shape[3] - groups + 1
        apart = x.contiguous().unflatten(1, (groups, -1))
        total: Tensor = apart[:, 0, ..., :width].float()
        for shift in range(1, groups):
            total += apart[:, shift, ..., shift : shift + width]
        return total

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        groups, (n, out, height, width) = context.groups, gradient.shape
        pixels = gradient.to(context.dtype).permute(0, 2, 3, 1)
        apart = pixels.new_zeros(n, height, width + groups - 1, groups, out)
        for shift in range(groups):
            apart[:, :, shift : shift + width, shift] = pixels
        return apart.flatten(3).permute(0, 3, 1, 2), None
