"""A pass is the same pass, run kernel by kernel or recorded and replayed."""

from __future__ import annotations

import pytest
import torch

from methods._cuda_graphs import Pass


def losses_of(images: torch.Tensor) -> dict[str, torch.Tensor]:
    content = (images - 0.5).square().flatten(1).sum(1)
    style = (images.flatten(2) @ images.flatten(2).mT).square().flatten(1).mean(1)
    return {"content": content, "style": style, "total": content + style}


def complain(text: str) -> None:
    raise AssertionError(text)


def test_a_pass_gives_losses_by_image_and_the_gradient_of_their_sum() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    losses, gradient = Pass(losses_of, images, complain)(images)
    leaf = images.clone().requires_grad_()
    losses_of(leaf)["total"].sum().backward()
    assert torch.equal(gradient, leaf.grad)  # type: ignore[arg-type]
    assert losses["total"].shape == (2,)
    assert not losses["total"].requires_grad


@pytest.mark.gpu
def test_a_recorded_pass_gives_what_the_kernels_give_one_by_one() -> None:
    images = torch.rand(2, 3, 32, 32, device="cuda")
    replay = Pass(losses_of, images, complain)
    kept = []
    for factor in (1.0, 0.5, 0.1):  # a graph that kept its first input would answer alike
        leaf = (factor * images).requires_grad_()
        expected = losses_of(leaf)
        expected["total"].sum().backward()
        losses, gradient = replay(factor * images)
        kept.append((losses["total"], expected["total"].detach()))
        assert torch.allclose(gradient, leaf.grad, rtol=1e-4)  # type: ignore[arg-type]
    for got, wanted in kept:  # earlier answers are not overwritten by later ones
        assert torch.allclose(got, wanted, rtol=1e-4)
