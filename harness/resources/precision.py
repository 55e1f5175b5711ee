"""In which numbers convolutions run: bfloat16 where the device is fast at it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
CPUINFO = Path("/proc/cpuinfo")

FAST_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls a processor's own bfloat16 products: Intel, AMD; the last is ARM's word."""


def resolve(asked: Precision | str, device: str, *, fast: bool | None = None) -> str:
    """Return `float32` or `bfloat16`; `auto` takes bfloat16 where it is about twice as fast.

    Losses and Gram matrices are float32 in any case.

    Args:
        asked: What the suite or the command line says.
        device: `cpu`, or a GPU's name.
        fast: Whether it is fast at bfloat16, where that is not for this machine to tell.
    """
    if asked != "auto":
        return asked
    if fast is None:
        fast = bool(FAST_FLAGS & _processor_flags()) if device == "cpu" else _gpu_has_it()
    return "bfloat16" if fast else "float32"


def _processor_flags() -> set[str]:
    """Return what the processor can do; nothing where Linux is not there to say so."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def _gpu_has_it() -> bool:
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
