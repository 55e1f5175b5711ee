"""The peak speed of the machine in matrix products, and the operations that a function needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE = 2048


def products_per_second(dtype: torch.dtype, repeats: int = 7) -> float:
    """Return the operations per second of a large matrix product, the median of `repeats`."""
    one, other = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        one @ other
        seconds.append(time.perf_counter() - start)
    return 2 * SIDE**3 / median(seconds[1:])


def operations(work: Callable[[], object]) -> int:
    """Return the operations of all convolutions and matrix products of a function."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
