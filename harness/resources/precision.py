"""Select the precision of convolutions: bfloat16 on devices where it is fast."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
CPUINFO = Path("/proc/cpuinfo")

FAST_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Linux names of bfloat16 instructions: Intel and AMD, Intel, ARM."""


def resolve(requested: Precision | str, device: str, *, fast: bool | None = None) -> str:
    """Return `float32` or `bfloat16`; `auto` selects bfloat16 where it is about twice as fast.

    Losses and Gram matrices are always float32.

    Args:
        requested: Value of the suite or the command line.
        device: `cpu`, or a GPU's name.
        fast: Whether bfloat16 is fast; None checks this machine.
    """
    if requested != "auto":
        return requested
    if fast is None:
        fast = bool(FAST_FLAGS & _processor_flags()) if device == "cpu" else _gpu_has_bfloat16()
    return "bfloat16" if fast else "float32"


def _processor_flags() -> set[str]:
    """Return the processor's feature flags; an empty set outside Linux."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def _gpu_has_bfloat16() -> bool:
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
