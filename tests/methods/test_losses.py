"""Losses have the values that are calculated by hand."""

from __future__ import annotations

import pytest
import torch

from methods._losses import gram, squared_error, total_variation

# Two channels over four positions.
FEATURES = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 1.0]]]])


def test_a_gram_matrix_contains_the_inner_products_of_channels() -> None:
    # <a,a> = 1+4+9+16 = 30, <a,b> = 2+4 = 6, <b,b> = 2
    expected = torch.tensor([[[30.0, 6.0], [6.0, 2.0]]])
    assert torch.equal(gram(FEATURES, "none"), expected)
    assert torch.equal(gram(FEATURES, "hw"), expected / 4)  # 2 x 2 positions
    assert torch.equal(gram(FEATURES, "chw"), expected / 8)  # times 2 channels


def test_a_gram_matrix_does_not_depend_on_positions() -> None:
    moved = FEATURES.flatten(2)[..., [2, 0, 3, 1]].reshape(FEATURES.shape)
    assert torch.equal(gram(moved, "hw"), gram(FEATURES, "hw"))


def test_the_gram_matrices_of_a_batch_equal_those_of_single_images() -> None:
    other = FEATURES * 2 + 1
    batch = gram(torch.cat([FEATURES, other]), "hw")
    assert torch.equal(batch, torch.cat([gram(FEATURES, "hw"), gram(other, "hw")]))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_of_a_gram_matrix_equals_that_of_autograd(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 4, 5, dtype=torch.float64, generator=generator)
    features = features.to(memory_format=layout).requires_grad_()
    weights = torch.randn(2, 3, 3, dtype=torch.float64, generator=generator)  # not symmetric

    def plain(f: torch.Tensor) -> torch.Tensor:
        flat = f.flatten(2)
        return (weights * (flat @ flat.mT)).sum()

    (expected,) = torch.autograd.grad(plain(features), features)
    loss = (weights.float() * gram(features, "none")).sum()
    (gradient,) = torch.autograd.grad(loss, features)
    assert torch.allclose(gradient, expected, rtol=1e-5, atol=1e-5)


def test_squared_error_has_three_reductions() -> None:
    values, target = torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.zeros(1, 4)
    # 1 + 4 + 9 + 16 = 30
    assert squared_error(values, target, "sum").item() == pytest.approx(30)
    assert squared_error(values, target, "half_sum").item() == pytest.approx(15)
    assert squared_error(values, target, "mean").item() == pytest.approx(7.5)


def test_the_squared_errors_of_a_batch_equal_those_of_single_images() -> None:
    values = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    # 1 + 1 and 9 + 9
    assert squared_error(values, torch.zeros(2, 2), "sum").tolist() == pytest.approx([2, 18])


def test_total_variation_sums_vertical_and_horizontal_differences() -> None:
    image = torch.tensor([[[[0.0, 1.0], [3.0, 0.0]]]])
    # down: 3-0, 0-1 -> |3| + |1| = 4, squares 10; right: 1-0, 0-3 -> 4, squares 10
    assert total_variation(image, "l1", "sum") == 8
    assert total_variation(image, "l2", "sum") == 20
    assert total_variation(image, "l2", "half_sum") == 10
    assert total_variation(image, "l1", "mean") == 4  # 4/2 + 4/2


def test_a_uniform_image_has_no_total_variation() -> None:
    assert total_variation(torch.full((2, 3, 5, 7), 0.4), "l1", "sum").tolist() == [0, 0]


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_the_total_variation_of_a_batch_equals_that_of_single_images(kind: str) -> None:
    images = torch.rand(3, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([total_variation(i[None], kind, "sum") for i in images])  # type: ignore[arg-type]
    assert torch.allclose(total_variation(images, kind, "sum"), alone)  # type: ignore[arg-type]


def test_gram_matrices_of_bfloat16_features_are_summed_in_float32() -> None:
    # The square of 1 + 2^-7 needs 15 bits; sums of 4096 squares in bfloat16 would lose most.
    features = torch.full((1, 1, 64, 64), 1 + 2**-7, dtype=torch.bfloat16)
    assert gram(features, "hw").item() == (1 + 2**-7) ** 2


def test_the_preset_gatys2016_has_the_style_loss_of_the_paper() -> None:
    # E_l = sum (G - A)^2 / (4 N^2 M^2) and w_l = 1/5: the mean over G/M with weight 1/5 * 1/4.
    from methods.gatys import Gatys

    recipe = Gatys(**Gatys.presets["gatys2016"])
    n, m = 2, 4
    other = FEATURES * 3
    paper = (gram(FEATURES, "none") - gram(other, "none")).square().sum() / (4 * n**2 * m**2) / 5
    loss = squared_error(
        gram(FEATURES, recipe.gram_divisor),
        gram(other, recipe.gram_divisor),
        recipe.style_reduction,
    )
    assert recipe.style_layer_weights is not None
    assert torch.isclose(loss * recipe.style_layer_weights[0], paper)
    assert recipe.content_reduction == "half_sum"
