"""Commands that only report create, change and migrate nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.command_line import nstbench
from tests.helpers.tracking.old_database import OLD, create_old_database
from tests.helpers.web_server import Web

SUITE = """\
version: 1
name: s
encoder: random
contents: {coffee: {builtin: coffee}, large: {path: large.png}}
styles:
  wave: {url: "http://127.0.0.1:1/wave.png", sha256: "%s", stand_in: great-wave}
methods: {style_copy: , gatys: {params: {iterations: 2}, axes: {style_weight: [1.0, 9.0]}}}
sizes: [64]
metrics: [ssim]
claims:
  C: {statement: More, source: here, method: gatys, factor: style_weight, levels: [1.0, 9.0],
      metric: ssim, predicts: lower}
"""

PROGRAM = """
import json, sys
from click.testing import CliRunner
from harness.cli.main import main
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, arguments)
    print(arguments, result.exit_code, result.output)
    assert result.exit_code in (0, 3), result.exception
"""
PAGE = {"report.html", "results.csv", "claims.csv"}


def listing(folder: Path) -> dict[str, tuple[int, str]]:
    """Return time stamp and hash of everything in a folder, except the page."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        if path.name not in PAGE:
            content = path.read_bytes() if path.is_file() else b""
            digest = hashlib.sha256(content).hexdigest()
            found[str(path)] = (path.stat().st_mtime_ns, digest)
    return found


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose home folder and caches are inside of `tmp_path`."""
    (tmp_path / "home").mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    for name in ("NSTBENCH_CACHE", "TORCH_HOME", "MPLCONFIGDIR"):
        kept.pop(name, None)
    return kept | {"HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite with a painting that is not available and an image whose hash would be cached."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png", compress_level=0)
    os.utime(tmp_path / "large.png", (1e9, 1e9))
    path = tmp_path / "s.yaml"
    path.write_text(SUITE % ("0" * 64), encoding="utf-8")
    return path


def test_commands_that_report_change_no_file_no_cache_and_no_database(
    tmp_path: Path, suite: Path, user: dict[str, str]
) -> None:
    out = tmp_path / "out"
    ran = nstbench("run", suite, "--out", out, "--no-mlflow", "--offline")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    create_old_database(out / "mlflow.db")
    at = ["--out", str(out)]
    commands = [
        ["plan", str(suite), *at],
        ["plan", str(suite), "--explain", "--fresh", *at],
        ["plan", str(suite), "--out", str(tmp_path / "new")],
        ["gc", *at],
        ["gc", "s", "--latest-only", *at],
        ["claims", "s", *at],
        ["compare", "s", *at],
        ["report", "s", *at],
        *(["list", kind] for kind in ("methods", "metrics", "suites", "presets")),
        ["doctor", *at],
        ["doctor", "--out", str(tmp_path / "new")],
    ]
    before = listing(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        env=user, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    after = listing(tmp_path)
    before.pop(str(out / "s")), after.pop(str(out / "s"))  # the folder of the page
    assert {path for path in before | after if before.get(path) != after.get(path)} == set()
    assert f"has a newer schema than its {OLD}" in " ".join(done.stdout.split())
    assert f"cp {out}/mlflow.db {out}/mlflow.db.old" in " ".join(done.stdout.split())


def test_plan_downloads_nothing_and_says_which_command_does(
    tmp_path: Path, write_suite: Callable[[str], Path], web_server: Web
) -> None:
    url = f"{web_server.url}/wave.png"
    text = SUITE.replace("http://127.0.0.1:1/wave.png", url).replace(
        ", large: {path: large.png}", ""
    )
    result = nstbench(
        "plan", write_suite(text % ("0" * 64)), "--out", tmp_path / "out",
        env={"NSTBENCH_OFFLINE": "0"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "downloads nothing, `nstbench fetch` does" in " ".join(result.stdout.split())
    assert web_server.requests == []
    assert not (tmp_path / "out").exists()


def test_a_run_says_what_it_migrates_and_what_it_sends_of_earlier_runs(
    tmp_path: Path, suite: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    create_old_database(out / "mlflow.db")
    said = f"press Ctrl-C, run `cp {out}/mlflow.db {out}/mlflow.db.old`"
    untracked, run, sync = (
        nstbench(*command, "--out", out)
        for command in (["run", suite, "--no-mlflow"], ["run", suite], ["sync", suite])
    )
    for result in (untracked, run, sync):
        assert result.returncode == 0, result.stdout + result.stderr
        assert (said in result.stdout + result.stderr) == (result is run)
    assert "sent to MLflow: 6 records of earlier runs that it lacked" in run.stdout
    assert "6 cells" in sync.stdout
    assert " 0 runs sent" in sync.stdout
