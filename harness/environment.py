"""What a run stood on: versions, machine, commit; and when."""

from __future__ import annotations

import datetime
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import determinism

PACKAGES = (
    "nstbench",
    "torch",
    "torchvision",
    "lpips",
    "scikit-image",
    "pillow",
    "numpy",
    "mlflow",
)


def describe(device: str) -> dict[str, str]:
    """Return the facts that a number may hang on, as short strings; those of torch are apart."""
    facts = {
        **versions(),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": processor(),
        "device": device,
        "commit": commit(),
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


def versions() -> dict[str, str]:
    """Return the versions of the packages that numbers may hang on; empty where one is missing."""
    return {name: _version(name) for name in PACKAGES}


@cache
def commit() -> str:
    """Return the checkout's git commit, marked where files differ from it; empty outside of one."""
    folder = Path(__file__).parent.parent

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    if not (folder / ".git").exists() or not (head := git("rev-parse", "HEAD")):
        return ""
    return head + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """Return the processor's name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    if sys.platform == "linux" and cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
