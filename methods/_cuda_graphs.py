"""One pass: losses of images and their gradient. On a GPU it is recorded once and replayed.

A pass launches about a hundred kernels. A GPU finishes small kernels before the host has launched
the next one. A CUDA graph launches all kernels of a pass at once.

Source: the whole-network capture of PyTorch's notes on CUDA semantics, "CUDA Graphs".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from harness.protocols import Image

Losses: TypeAlias = dict[str, Tensor]

WARM_UPS = 3
"""Libraries choose kernels and allocate memory in the first calls; a graph cannot record that."""


class Pass:
    """Evaluate losses and their gradient at images of one shape.

    Args:
        losses_of: Return the losses (N,) by name, including `total`.
        like: Images with the shape and on the device of later calls.
        note: Called with a message if a GPU cannot record the pass; it then runs unrecorded.
    """

    def __init__(
        self, losses_of: Callable[[Image], Losses], like: Image, note: Callable[[str], None]
    ) -> None:
        self.losses_of = losses_of
        self._graph: torch.cuda.CUDAGraph | None = None
        if like.device.type == "cuda":
            try:
                self._record(like)
            except RuntimeError as error:
                note(f"The pass was not recorded as a CUDA graph: {error}")

    def __call__(self, images: Image) -> tuple[Losses, Tensor]:
        """Return the detached losses and the gradient (N, 3, H, W) of the sum of `total`."""
        if self._graph is None:
            return self._evaluate(images)
        self._input.copy_(images)
        self._graph.replay()
        losses, gradient = self._output
        return {name: loss.clone() for name, loss in losses.items()}, gradient.clone()

    def _evaluate(self, images: Image) -> tuple[Losses, Tensor]:
        leaf = images.detach().requires_grad_()
        losses = self.losses_of(leaf)
        (gradient,) = torch.autograd.grad(losses["total"].sum(), leaf)
        return {name: loss.detach() for name, loss in losses.items()}, gradient

    def _record(self, like: Image) -> None:
        self._input = like.detach().clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._evaluate(self._input)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._output = self._evaluate(self._input)
        self._graph = graph
