"""Packages of the same names as those of nstbench, in the working folder or on PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import ROOT

COMMANDS = {
    "python -m nstbench": ["-m", "nstbench", "list", "suites"],
    # The script that pip installs does the same, with an empty entry in PYTHONPATH.
    "nstbench": ["-c", "from nstbench import main; main()", "list", "suites"],
}


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["harness", "methods", "reports", "suites"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_foreign_package_is_named_with_the_remedy(
    tmp_path: Path, command: str, name: str
) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    done = python(tmp_path, *COMMANDS[command])
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"Python imports {name} from {tmp_path / name}, but nstbench requires its own packages "
        f"from {ROOT}."
    )
    assert "run it in another folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_import_of_a_name_explains_a_foreign_module(tmp_path: Path) -> None:
    (tmp_path / "harness.py").touch()
    done = python(tmp_path, "-c", "from nstbench import METHODS")
    assert done.returncode == 1
    assert f"ImportError: Python imports harness from {tmp_path}/harness.py, but" in done.stderr


def test_a_folder_without_python_files_is_no_package(tmp_path: Path) -> None:
    for name in ("methods", "suites"):
        (tmp_path / name).mkdir()
    done = python(tmp_path, *COMMANDS["python -m nstbench"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "smoke" in done.stdout
