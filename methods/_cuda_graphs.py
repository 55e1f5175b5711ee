"""A pass: losses of images, and their gradient; on a GPU recorded once and replayed.

A pass launches some hundred kernels. On a GPU small ones are done before the next is launched, so
the whole row is recorded as a CUDA graph, and each further pass is one launch.

Source: the whole-network capture of PyTorch's notes on CUDA semantics, "CUDA Graphs".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from harness.protocols import Image

Losses: TypeAlias = dict[str, Tensor]
Pass: TypeAlias = Callable[[Image], tuple[Losses, Tensor]]

WARM_UPS = 3
"""Libraries choose their kernels and allocate in the first calls; neither can be recorded."""


def passes(losses_of: Callable[[Image], Losses], like: Image, note: Callable[[str], None]) -> Pass:
    """Return what runs a pass at images of one shape: detached losses (N,), and the gradient.

    Args:
        losses_of: Gives losses by name, `total` among them.
        like: Images of the shape, on the device.
        note: Told where a GPU could not record the pass, and runs it kernel by kernel.
    """

    def eager(images: Image) -> tuple[Losses, Tensor]:
        leaf = images.detach().requires_grad_()
        losses = losses_of(leaf)
        (gradient,) = torch.autograd.grad(losses["total"].sum(), leaf)
        return {name: loss.detach() for name, loss in losses.items()}, gradient

    if like.device.type != "cuda":
        return eager
    try:
        return _recorded(eager, like)
    except RuntimeError as error:
        note(f"The pass was not recorded as a CUDA graph: {error}")
        return eager


def _recorded(eager: Pass, like: Image) -> Pass:
    place = like.detach().clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            eager(place)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        losses, gradient = eager(place)

    def replay(images: Image) -> tuple[Losses, Tensor]:
        place.copy_(images)
        graph.replay()
        return {name: loss.clone() for name, loss in losses.items()}, gradient.clone()

    return replay
