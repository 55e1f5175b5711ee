"""Run the command `nstbench` of this checkout, in a new process or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner, Result

from harness.cli.main import main

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "suites" / "smoke.yaml"


def nstbench(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process; `env` is added to the environment."""
    return subprocess.run(
        [sys.executable, "-m", "nstbench", *map(str, arguments)],
        capture_output=True, text=True, timeout=280, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip


def command(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    """Run the command in this process; `env` is added to the environment."""
    return CliRunner().invoke(main, [*map(str, arguments)], env=env)
