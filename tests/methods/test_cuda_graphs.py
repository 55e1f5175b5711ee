"""A recorded and replayed pass gives the results of an unrecorded one."""

from __future__ import annotations

import pytest
import torch

from methods._cuda_graphs import Pass


def losses_of(images: torch.Tensor) -> dict[str, torch.Tensor]:
    content = (images - 0.5).square().flatten(1).sum(1)
    style = (images.flatten(2) @ images.flatten(2).mT).square().flatten(1).mean(1)
    return {"content": content, "style": style, "total": content + style}


def fail(text: str) -> None:
    raise AssertionError(text)


def test_a_pass_returns_the_losses_of_each_image_and_the_gradient_of_their_sum() -> None:
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    losses, gradient = Pass(losses_of, images, fail)(images)
    leaf = images.clone().requires_grad_()
    losses_of(leaf)["total"].sum().backward()
    assert torch.equal(gradient, leaf.grad)  # type: ignore[arg-type]
    assert losses["total"].shape == (2,)
    assert not losses["total"].requires_grad


@pytest.mark.gpu
def test_a_recorded_pass_equals_an_unrecorded_one() -> None:
    images = torch.rand(2, 3, 32, 32, device="cuda")
    replay = Pass(losses_of, images, fail)
    totals = []
    for factor in (1.0, 0.5, 0.1):  # detects a graph that reuses its first input
        leaf = (factor * images).requires_grad_()
        expected = losses_of(leaf)
        expected["total"].sum().backward()
        losses, gradient = replay(factor * images)
        totals.append((losses["total"], expected["total"].detach()))
        assert torch.allclose(gradient, leaf.grad, rtol=1e-4)  # type: ignore[arg-type]
    for total, reference in totals:  # later calls do not overwrite earlier results
        assert torch.allclose(total, reference, rtol=1e-4)
