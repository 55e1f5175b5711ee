"""What a run stood on: versions, machine, commit; and when."""

from __future__ import annotations

import datetime
import platform
import sys
from pathlib import Path

from harness.execution.machine import determinism
from harness.resources import software


def describe(device: str) -> dict[str, str]:
    """Return the facts that a number may hang on, as short strings; those of torch are apart."""
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
    """Return the time, ISO 8601 in UTC, to the second: as records and runs have it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def of_torch(device: str) -> dict[str, str]:
    """Return what only torch can tell, and only where cells run: importing it takes seconds."""
    import torch

    facts = {"threads": str(torch.get_num_threads()), "deterministic": determinism.level(device)}
    if device != "cpu":
        facts |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return facts


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
