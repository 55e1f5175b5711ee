"""Run the command `nstbench` of this checkout in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "suites" / "smoke.yaml"


def nstbench(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; `env` is added to the environment."""
    return subprocess.run(
        [sys.executable, "-m", "nstbench", *map(str, arguments)],
        capture_output=True, text=True, timeout=280, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip
