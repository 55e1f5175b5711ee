"""Select the device of a run, without importing torch where possible."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import UsageError

DRIVERS = ("nvcuda.dll", "amdhip64.dll") if sys.platform == "win32" else ("libcuda.so.1",)
"""Libraries of NVIDIA, and on Windows of AMD, that torch loads first."""

AMD_ON_LINUX = Path("/dev/kfd")  # device file of the AMD driver; torch bundles the library


@dataclass(frozen=True)
class Hardware:
    """The hardware of another machine that runs the cells."""

    device: str
    bfloat16: bool  # whether bfloat16 is fast


@cache
def find_device(requested: str) -> str:
    """Return `cpu` or the name of the GPU.

    Args:
        requested: `auto` (a GPU if there is one), `cpu`, `cuda`, or a part of a GPU's name.

    Raises:
        UsageError: Torch does not see the requested GPU.
    """
    if requested == "cpu" or (requested == "auto" and not _has_driver()):
        return "cpu"
    import torch  # slow to import, but only torch knows whether the driver works

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if requested not in {"auto", "cuda"} and requested.lower() not in name.lower():
            raise UsageError(f"--device {requested}: not found. Use cpu, or a part of {name!r}.")
        return name
    if requested == "auto":
        return "cpu"
    raise UsageError(
        f"--device {requested}: torch {torch.__version__} sees no CUDA device. Use --device cpu."
    )


def _has_driver() -> bool:
    """Return True if a GPU driver is installed and not disabled."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return False
    return AMD_ON_LINUX.exists() or any(map(_loads, DRIVERS))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
