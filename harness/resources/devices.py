"""Which device a run gets, found without importing torch wherever that is possible."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.errors import UsageError

DRIVERS = ("nvcuda.dll", "amdhip64.dll") if sys.platform == "win32" else ("libcuda.so.1",)
"""Of NVIDIA, and on Windows of AMD: what torch itself loads first."""

AMD_ON_LINUX = Path("/dev/kfd")  # torch brings the library; the kernel's door tells


@dataclass(frozen=True)
class Hardware:
    """What cells run on, where that is not this machine."""

    device: str
    bfloat16: bool  # where that is fast


@cache
def find_device(asked: str) -> str:
    """Return `cpu` or the GPU's name.

    Args:
        asked: `auto` takes a GPU where there is one; `cpu`; `cuda`; or a part of a GPU's name.

    Raises:
        UsageError: A GPU was asked for, and torch sees none, or another one.
    """
    if asked == "cpu" or (asked == "auto" and not _has_driver()):
        return "cpu"
    import torch  # a second or more, and only torch knows whether it can use the driver

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        if asked not in {"auto", "cuda"} and asked.lower() not in name.lower():
            raise UsageError(f"--device {asked}: this machine has cpu and {name}.")
        return name
    if asked == "auto":
        return "cpu"
    raise UsageError(f"--device {asked}: torch {torch.__version__} sees no CUDA device here.")


def _has_driver() -> bool:
    """Tell whether there is any sign of a GPU that torch could use."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return False
    return AMD_ON_LINUX.exists() or any(map(_loads, DRIVERS))


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
