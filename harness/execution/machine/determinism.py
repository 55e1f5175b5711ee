"""Images that come out the same, bit by bit, whenever a run is done again on one machine.

Without it a run is seeded: every variant sees the same noise and batches, and what libraries round
otherwise from one time to the next is left to them. On a CPU the number of threads is part of what
decides bits: some sums are split between them.

Of what methods here differentiate on CUDA, torch's list of operations without a deterministic
algorithm (documentation of 2.15) names reflection padding, which
`methods/_deterministic_padding.py` computes differently, and bilinear enlargement, which torch
itself then computes by indices, as it does replication padding. Nothing of it has been run on a
GPU.
"""

from __future__ import annotations

import os

from harness.records import BITWISE


def insist() -> None:
    """Have torch take only algorithms that repeat themselves; call it before CUDA starts.

    An operation that has none raises from here on, and so fails its cell.
    """
    import torch

    # By their documentation cuBLAS and MKL promise the same sums each time under these alone.
    # Without, MKL's product of L-BFGS's history with a gradient had nine results, by where in
    # memory the two lay; with AUTO one, in the same time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("MKL_CBWR", "AUTO")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def level(device: str) -> str:
    """Return which level holds in this process, and on what it hangs."""
    import torch

    if not torch.are_deterministic_algorithms_enabled():
        return "seeded"
    threads = torch.get_num_threads()
    where = f"{threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else device
    return f"{BITWISE} ({where}, torch {torch.__version__})"
