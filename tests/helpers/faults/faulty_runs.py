"""Run a suite with the faulty method and read its results."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.records import Record
from harness.store import Store
from tests.helpers.command_line import ROOT

SLOW = "  trouble: {{params: {{way: well, seconds: {seconds}, folder: {folder}}}}}\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the faulty method is installed."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("faulty_method.py"), folder / "trouble.py")
    info = folder / "trouble-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nstbench.methods]\ntrouble = trouble\n")
    return folder


class Bench:
    """A suite with the faulty method in a folder, and its runs."""

    def __init__(self, folder: Path, site: Path, methods: str, **more: str) -> None:
        self.folder, self.site = folder, site
        self.store = Store(folder, "faults")
        keys = {"contents": "{coffee: {builtin: coffee}}", "styles": "{grass: {builtin: grass}}",
                "metrics": "[]", **more}  # fmt: skip
        lines = [f"{key}: {value}" for key, value in keys.items()]
        text = "\n".join(["version: 1", "name: faults", "encoder: random", "sizes: [32]", *lines])
        self.path = folder / "faults.yaml"
        self.path.write_text(f"{text}\nmethods:\n{methods}", encoding="utf-8")

    def start(
        self, *options: str, how: tuple[str, str] = ("-m", "nstbench")
    ) -> subprocess.Popen[str]:
        """Start a run in its own session."""
        command = [sys.executable, *how, "run", self.path, "--out", self.folder,
                   "--offline", "--no-mlflow", *options]  # fmt: skip
        return subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{self.site}{os.pathsep}{ROOT}"},
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    def run(self, *options: str, code: int = 0) -> str:
        """Run to the end and return stdout and stderr."""
        process = self.start(*options)
        stdout, stderr = process.communicate(timeout=280)
        assert process.returncode == code, stdout + stderr
        assert "Traceback" not in stderr
        return stdout + stderr

    def records(self) -> dict[str, Record]:
        """Return the records of the latest run by variant and content."""
        found = self.store.records(self.store.run())
        return {f"{r.cell.params.get('way')} {r.cell.content.name}": r for r in found}

    def done(self) -> list[str]:
        """Return a line for every finished stylization of all runs."""
        path = self.folder / "done"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, process: subprocess.Popen[str], lines: int) -> None:
        """Wait until at least `lines` stylizations are finished."""
        deadline = time.monotonic() + 120
        while len(self.done()) < lines and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
