"""The project as its users get it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("package", ["harness", "methods", "suites", "reports"])
def test_the_four_packages_load_from_this_checkout(package: str) -> None:
    assert Path(__import__(package).__path__[0]) == ROOT / package


def test_the_wheel_holds_the_packages_and_what_they_read(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"]))
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = ("harness", "methods", "suites", "reports", "nstbench.py")
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", *ours], capture_output=True, text=True, check=True
    ).stdout.split()
    assert tracked
    assert set(tracked) <= names
    assert not any(name.startswith(("tests/", "runs/")) for name in names)


def test_the_lock_names_no_index_and_covers_every_dependency() -> None:
    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in lock
    pinned = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    assert {re.split(r"[^a-zA-Z0-9-]", w)[0].lower() for w in wanted} <= pinned


def test_the_importable_face_imports() -> None:
    import nstbench

    assert all(hasattr(nstbench, name) for name in nstbench.__all__)
    assert list(nstbench.__all__) == sorted(nstbench.__all__, key=lambda n: (not n.isupper(), n))


def test_ruff_has_nothing_to_say() -> None:
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        done = subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 0, done.stdout
