"""The command `nstbench` of this checkout, in a separate process or in this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "suites" / "smoke.yaml"


def nstbench(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in a separate process; `env` is added to the environment."""
    return subprocess.run(
        [sys.executable, "-m", "nstbench", *map(str, arguments)],
        capture_output=True, text=True, timeout=280, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip


def command(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    from click.testing import CliRunner

    from harness.cli.main import main

    return CliRunner().invoke(main, [*map(str, arguments)])
