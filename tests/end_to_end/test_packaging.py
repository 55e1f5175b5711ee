"""The wheel, the dependencies, the README and the checks of the project."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.helpers.command_line import ROOT


@pytest.mark.parametrize("package", ["harness", "methods", "suites", "reports"])
def test_the_four_packages_load_from_this_checkout(package: str) -> None:
    assert Path(__import__(package).__path__[0]) == ROOT / package


def test_the_wheel_contains_the_packages_and_their_data(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = ("harness", "methods", "suites", "reports", "nstbench")
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", *packages], capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    assert set(tracked) <= names
    assert not any(name.startswith(("tests/", "runs/")) for name in names)


def test_the_constraints_name_no_index_and_cover_every_dependency() -> None:
    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert {re.split(r"[^a-zA-Z0-9-]", w)[0].lower() for w in required} <= pinned


def test_the_module_nstbench_exports_its_names_in_order() -> None:
    import nstbench

    assert "METHODS" in nstbench.__all__
    assert all(hasattr(nstbench, name) for name in nstbench.__all__)
    assert list(nstbench.__all__) == sorted(nstbench.__all__, key=lambda n: (not n.isupper(), n))


def test_ruff_reports_no_problem() -> None:
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        result = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert result.returncode == 0, result.stdout
