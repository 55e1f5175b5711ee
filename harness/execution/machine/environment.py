"""Versions, hardware, commit and time of a run."""

from __future__ import annotations

import datetime
import platform
import sys
from pathlib import Path

from harness.execution.machine import determinism
from harness.resources import software


def describe(device: str) -> dict[str, str]:
    """Return the facts that may influence a result, as short strings; see also `of_torch`."""
    facts = {
        **software.versions(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": processor(),
        "device": device,
        "commit": software.commit(),
    }
    return {name: value for name, value in facts.items() if value}


def now() -> str:
    """Return the time in ISO 8601, UTC, to the second, as in records and runs."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def of_torch(device: str) -> dict[str, str]:
    """Return the facts that need torch. Only workers call this: importing torch takes seconds."""
    import torch

    facts = {"threads": str(torch.get_num_threads()), "deterministic": determinism.level(device)}
    if device != "cpu":
        facts |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return facts


def processor() -> str:
    """Return the name of the processor, or an empty string if the system does not report it."""
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
