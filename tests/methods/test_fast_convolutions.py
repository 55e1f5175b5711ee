"""The fast convolutions give the results and the gradients of the plain ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from methods._fast_convolutions import convolve_to_few, enlarge_and_convolve


def assert_same(
    one: Callable[..., torch.Tensor], other: Callable[..., torch.Tensor], *inputs: torch.Tensor
) -> None:
    """Compare the values, and the gradients of a weighted sum for every input."""
    results = []
    for function in (one, other):
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = function(*leaves)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        (out * weights).sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for first, second in zip(*results, strict=True):
        assert first is not None
        assert torch.allclose(first, second, rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("padding", ["reflect", "replicate", "constant"])
@pytest.mark.parametrize("size", [(4, 4), (5, 7)])
def test_upsampling_within_the_convolution_equals_upsampling_before_it(
    padding: str, size: tuple[int, int]
) -> None:
    # Edge pixels are pairs after upsampling, so reflection by one pixel replicates the edge.
    before = "replicate" if padding == "reflect" else padding
    assert_same(
        lambda x, w, b: enlarge_and_convolve(F.pad(x, (1,) * 4, mode=before), w, b),
        lambda x, w, b: F.conv2d(
            F.pad(F.interpolate(x, scale_factor=2), (1,) * 4, mode=padding), w, b
        ),
        random(2, 3, *size),
        random(5, 3, 3, 3),
        random(5),
    )


@pytest.mark.parametrize("kernel", [3, 9])
def test_the_shifted_sum_of_kernel_columns_equals_the_convolution(kernel: int) -> None:
    assert_same(convolve_to_few, F.conv2d, random(2, 4, 12, 15), random(3, 4, kernel, kernel))


def test_bfloat16_input_is_summed_in_float32() -> None:
    x, weight = random(1, 8, 16, 16).bfloat16(), random(3, 8, 9, 9).bfloat16()
    out = convolve_to_few(x, weight)
    exact = F.conv2d(x.float(), weight.float())
    assert out.dtype == torch.float32
    assert (out - exact).abs().max() < 0.02 * exact.abs().max()
