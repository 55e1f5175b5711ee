"""The home folder: `~` in paths, and users without one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.api.settings import weights_paths
from harness.filesystem import expanded
from harness.resources.hash_cache import cache_folder
from tests.helpers.command_line import ROOT, command
from tests.helpers.small_suite import small_suite

SUITE = small_suite()


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The home folder of this process, with a suite in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "s.yaml").write_text(SUITE)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_home_folder_replaces_a_tilde_in_every_path(home: Path) -> None:
    done = command("run", "~/s.yaml", "--out=~/x", "--tracking-uri=sqlite:///~/m.db")
    assert done.exit_code == 0, done.output
    assert (home / "x" / "s" / "report.html").exists()
    assert (home / "m.db").exists()
    assert not Path("~").exists()
    assert command("report", "~/x/s").output.strip() == f"{home}/x/s/report.html"
    assert weights_paths(["vgg19=~/w.pth"]) == {"vgg19": home / "w.pth"}


def test_variables_are_treated_like_options(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("NSTBENCH_OUT", "~/y")
    monkeypatch.setenv("NSTBENCH_CACHE", "~/cache")
    monkeypatch.setenv("NSTBENCH_MIRROR", "~/none")
    assert cache_folder() == home / "cache"
    done = command("plan", "~/s.yaml")
    assert done.exit_code == 2
    assert f"--mirror {home}/none: there is no such folder" in done.output
    monkeypatch.delenv("NSTBENCH_MIRROR")
    assert command("report", "s").output.startswith(f"{home}/y/s")


def nameless(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user without a name and a home folder."""
    (folder / "s.yaml").write_text(SUITE)
    user = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
    if not shutil.which("unshare") or subprocess.run([*user, "true"], check=False).returncode:
        pytest.skip("this machine has no user namespaces")
    kept = {name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ}
    return subprocess.run(
        [*user, sys.executable, "-m", "nstbench", *arguments], cwd=folder, capture_output=True,
        text=True, timeout=120, check=False,
        env={**kept, "PYTHONPATH": str(ROOT), "NSTBENCH_OFFLINE": "1", **variables},
    )  # fmt: skip


def test_a_user_without_a_home_is_told_to_set_the_cache(tmp_path: Path) -> None:
    done = nameless(tmp_path, "plan", "s.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("The folder for downloaded files is unknown")
    assert "Set NSTBENCH_CACHE to a folder" in done.stderr
    assert not (tmp_path / "~").exists()


def test_a_user_without_a_home_runs_a_suite_with_a_cache(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    done = nameless(tmp_path, "run", "s.yaml", NSTBENCH_CACHE=cache)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "runs" / "mlflow.db").exists()


def test_a_tilde_without_a_home_is_a_usage_error(tmp_path: Path) -> None:
    done = nameless(tmp_path, "plan", "s.yaml", "--out=~/x", NSTBENCH_CACHE=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("~/x: the home folder is unknown")


def test_a_tilde_inside_a_path_is_kept() -> None:
    assert expanded("runs/a~1") == Path("runs/a~1")
