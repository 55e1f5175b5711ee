"""Skip cells that cannot fit into memory, by a lower bound that is known before they start.

The bound counts only what autograd keeps of one pass through the encoder. Gradients, a method's own
networks and its optimizer come on top; a cell that is too large because of those ends as
`out_of_memory`.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.encoders.feature_extractor import LayeredEncoder
from harness.errors import TooLargeError
from harness.execution.machine import memory_limit
from harness.records import Cell

SAMPLE_EDGE = 128
"""Edge in pixels of the square image on which the memory of a pass is measured."""

CALL_EDGE = 256
"""The same for a call without autograd: margins of small images count for more."""

MIN_CHECKED_BYTES = 500_000_000
"""Cells that need less are not checked."""


@dataclass(frozen=True)
class Need:
    """Bytes that a pass keeps, and the size of its batch of images."""

    bytes: float
    batch: int
    height: int
    width: int


def check(method: Any, encoder: LayeredEncoder, cell: Cell, contents: Tensor) -> None:
    """Raise TooLargeError if a cell needs more memory than is free on its device."""
    need = lower_bound(method, encoder, cell, contents)
    if need.bytes < MIN_CHECKED_BYTES:
        return
    free = free_bytes(contents.device)
    if need.bytes <= free:
        return
    raise TooLargeError(
        f"The cell needs more than {need.bytes / 1e9:.1f} GB for {need.batch} × {need.height} × "
        f"{need.width} pixels through {encoder.name} in {cell.precision}, and {free / 1e9:.1f} GB "
        f"are free. Choose smaller `sizes`, bfloat16, or a smaller `batch_size` or `crop`."
    )


def lower_bound(method: Any, encoder: LayeredEncoder, cell: Cell, contents: Tensor) -> Need:
    """Return what one pass keeps: over the contents, or over a batch of a training."""
    batch, _, height, width = contents.shape
    if method.trains:
        parameters = asdict(method)
        batch = parameters.get("batch_size", 1)
        height = width = parameters.get("crop") or cell.size
    layers = tuple(method.layers)
    kept = _bytes_per_pixel(encoder, layers) if layers else 0.0
    return Need(kept * batch * height * width, batch, height, width)


def free_bytes(device: torch.device) -> int:
    """Return the bytes that can still be allocated on a device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return memory_limit.free()


@lru_cache(maxsize=64)
def _bytes_per_pixel(encoder: LayeredEncoder, layers: Sequence[str]) -> float:
    """Return the bytes per pixel that autograd keeps of a pass, without weights."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = torch.rand(1, 3, SAMPLE_EDGE, SAMPLE_EDGE, device=encoder.mean.device).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = encoder(image, layers)  # alive until all tensors are counted
    del features
    return sum(kept.values()) / SAMPLE_EDGE**2


def bytes_of_call(work: Callable[[Tensor], object], contents: Tensor) -> float:
    """Estimate the largest memory that a call takes, for contents of any size.

    The tensors of a call with a small image are counted; their memory is proportional to the
    pixels. Only calls without autograd can be counted, and work space of libraries comes on top.
    """
    sample = contents[..., :CALL_EDGE, :CALL_EDGE].contiguous()
    with _LiveTensors() as live:
        work(sample)
    return float(live.peak / sample[:, 0].numel() * contents[:, 0].numel())


class _LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors that operations return, as long as they exist."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._uses: Counter[tuple[int, int]] = Counter()  # (address, bytes) -> number of tensors
        self._now = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = (storage.data_ptr(), storage.nbytes())
        if not self._uses[key]:
            self._now += key[1]
            self.peak = max(self.peak, self._now)
        self._uses[key] += 1
        weakref.finalize(tensor, self._drop, key)

    def _drop(self, key: tuple[int, int]) -> None:
        self._uses[key] -= 1
        if not self._uses[key]:
            self._now -= key[1]
