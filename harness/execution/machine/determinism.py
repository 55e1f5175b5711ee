"""Deterministic mode: a repeated run on the same machine gives the same images, bit by bit.

Without it a run is seeded: every variant sees the same noise and batches, but libraries may round
differently each time. On a CPU the bits also depend on the number of threads, which split some
sums.

Torch's list of operations without a deterministic algorithm on CUDA (documentation of 2.15)
contains two that methods here differentiate: reflection padding, which
`methods/_deterministic_padding.py` computes differently, and bilinear enlargement, which torch
then computes by indices, as it does replication padding. This mode has not been run on a GPU.
"""

from __future__ import annotations

import os

from harness.records import BITWISE


def enable() -> None:
    """Restrict torch to deterministic algorithms. Call it before CUDA is initialised.

    An operation without such an algorithm then raises, which fails its cell.
    """
    import torch

    # cuBLAS and MKL document reproducible sums only with these settings. Without MKL_CBWR, the
    # product of L-BFGS's history with a gradient had nine results, depending on memory alignment;
    # with AUTO it has one, in the same time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("MKL_CBWR", "AUTO")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def level(device: str) -> str:
    """Return whether this process is deterministic or seeded, and under which conditions."""
    import torch

    if not torch.are_deterministic_algorithms_enabled():
        return "seeded"
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else device
    return f"{BITWISE} ({where}, torch {torch.__version__})"
