"""Suites that name programs: none starts by surprise, and a bad one costs its own cells only."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path

import pytest

import nstbench
from harness.records import Record
from harness.store import Store
from tests.helpers.command_line import ROOT, command
from tests.helpers.processes import alive, no_longer_alive, wait_for_file
from tests.helpers.small_suite import small_suite

NSTBENCH = [sys.executable, "-m", "nstbench"]
SCRIPT = ROOT / "tests" / "helpers" / "bad_program.py"


class Suite:
    """A suite with programs that behave as their names say; a name ending in `served` stays."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.folder, self.mark, self.started = folder, uuid.uuid4().hex, folder / "started"
        methods = {"identity": {}, **{name: self.method(name) for name in names}}
        lines = ("repeats: 1", "metrics: [ssim]", "seeds: [0, 1]")
        self.path = folder / "suite.yaml"
        self.path.write_text(small_suite("s", json.dumps(methods), *lines))
        self.options = [self.path, "--out", folder / "runs", "--offline"]

    def method(self, name: str) -> dict[str, object]:
        how, serve = name.removesuffix("-served"), name.endswith("-served")
        files = [] if serve else ["{content}", "{style}", "{output}"]
        environment = {"MARK": self.mark, "STARTED": str(self.started)}
        params = {"run": ["python", str(SCRIPT), how, *files], "environment": environment}
        return {"use": "command", "params": {**params, "serve": serve}}

    def records(self) -> dict[str, list[Record]]:
        """Return the records by method."""
        found: dict[str, list[Record]] = {}
        for record in Store(self.folder / "runs", "s").all_records():
            found.setdefault(record.cell.label, []).append(record)
        return found


def test_bad_programs_fail_their_own_cells_and_leave_no_process(tmp_path: Path) -> None:
    suite = Suite(tmp_path, "hang", "exit", "killed-served", "text-served", "well-served", "well")
    options = ["--no-mlflow", "--allow-commands", "--timeout", "2"]
    done = subprocess.run(
        [*NSTBENCH, "run", *suite.options, *options],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert alive(suite.mark) == []
    found = suite.records()
    assert {name: [record.status for record in records] for name, records in found.items()} == {
        "identity": ["done"] * 2,
        "well": ["done"] * 2,
        "well-served": ["done"] * 2,
        "hang": ["timeout"] * 2,
        "exit": ["failed"] * 2,
        "killed-served": ["crashed"] * 2,
        "text-served": ["failed"] * 2,
    }
    images = {record.image_sha256 for name in ("well", "well-served") for record in found[name]}
    assert len(images) == 1
    page = (tmp_path / "runs" / "s" / "report.html").read_text(encoding="utf-8")
    assert "ended with exit code 1" in page
    assert "no such brush" in page


def test_programs_end_when_nstbench_is_killed(tmp_path: Path) -> None:
    suite = Suite(tmp_path, "hang")
    run = subprocess.Popen(
        [*NSTBENCH, "run", *suite.options, "--allow-commands", "--no-mlflow"],
        stdout=subprocess.DEVNULL,
    )
    wait_for_file(suite.started, run)
    assert alive(suite.mark) != []
    run.kill()
    run.wait()
    assert no_longer_alive(suite.mark)


def test_no_program_starts_without_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = Suite(tmp_path, "orphans", "well-served")
    done = command("run", *suite.options, "--no-mlflow")
    assert done.exit_code == 2
    shown = [shlex.split(line) for line in done.output.splitlines() if "bad_program" in line]
    variables = [f"MARK={suite.mark}", f"STARTED={suite.started}"]
    start = ["env", "-C", str(tmp_path), *variables, sys.executable, str(SCRIPT)]
    files = ["{content}", "{style}", "{output}"]
    assert shown == [[*start, "orphans", *files], [*start, "well"]]
    assert "--allow-commands" in done.output
    assert not (tmp_path / "runs").exists()

    for name, *options in (["plan"], ["fetch"], ["doctor", "--suite"]):
        arguments = [*options, suite.path, "--offline"]
        assert command(name, *arguments).exit_code in {0, 3}, name
    assert not suite.started.exists()
    monkeypatch.setenv("NSTBENCH_ALLOW_COMMANDS", "1")
    assert command("run", *suite.options, "--no-mlflow").exit_code == 0
    assert suite.started.exists()
    assert alive(suite.mark) == []

    monkeypatch.delenv("NSTBENCH_ALLOW_COMMANDS")
    for name in ("run", "rescore"):  # finished cells need no permission
        assert command(name, *suite.options, "--no-mlflow").exit_code == 0


def test_the_python_api_is_guarded_too(tmp_path: Path) -> None:
    from harness import suite as suites
    from harness.errors import UsageError
    from harness.execution.prepare import RunOptions, prepare

    suite = Suite(tmp_path, "well")
    options = RunOptions(out=tmp_path / "runs", device="cpu", offline=True)
    ready = prepare(suites.load(suite.path), options)
    with pytest.raises(UsageError, match="this suite starts programs"):
        next(ready.batches())
    run = partial(nstbench.run, suite.path, out=tmp_path / "runs", device="cpu", offline=True,
                  mlflow=False, quiet=True)  # fmt: skip
    with pytest.raises(UsageError, match="this suite starts programs"):
        run()
    assert not suite.started.exists()
    assert set(run(allow_commands=True).cells["status"]) == {"done"}


def test_doctor_says_what_a_suite_lacks(tmp_path: Path) -> None:
    suite = Suite(tmp_path, "well")
    text = suite.path.read_text().replace(
        '"run": ["python"', '"needs": ["net.pth"], "run": ["python"'
    )
    suite.path.write_text(text)
    done = command("doctor", "--suite", suite.path, "--offline", "--json")
    findings = {finding["name"]: finding for finding in json.loads(done.output)}
    assert findings["identity"]["what"] == "2 cells can run"
    assert findings["well"]["state"] == "fair"
    assert findings["well"]["what"].startswith("it cannot run here: missing: net.pth")
    done = command("plan", *suite.options)
    assert "2 skipped" in done.output
