"""Versions of packages, and the git commit of this checkout."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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


def versions() -> dict[str, str]:
    """Return the versions of packages that affect results; empty for missing packages."""
    return {name: _version(name) for name in PACKAGES}


@cache
def commit() -> str:
    """Return the git commit, with `-dirty` if files differ; empty outside a checkout."""
    folder = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        try:
            done = subprocess.run(
                ["git", "--no-optional-locks", "-C", str(folder), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
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
