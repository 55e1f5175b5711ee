"""nstbench called from a script or from standard input, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command_line import ROOT
from tests.helpers.small_suite import small_suite

SUITE = small_suite()
CALL = """
from harness.cli.main import main
main(["run", "s.yaml", "--no-mlflow", "--offline", "--set", "methods={METHOD: {}}"])
"""
OWN_METHOD = """
from dataclasses import dataclass
from typing import ClassVar
from nstbench import METHODS, Method

@METHODS.register("darker")
@dataclass(frozen=True, kw_only=True)
class Darker(Method):
    version: ClassVar[int] = 1

    def fit(self, style, context):
        return lambda content, context: content / 2
"""


RUN = """
import nstbench
try:
    print(nstbench.run("s.yaml", mlflow=False, offline=True, set={"methods": {"METHOD": {}}}))
except nstbench.NstbenchError as error:
    print(type(error).__name__, error)
"""


def python(folder: Path, script: str, *, stdin: bool) -> subprocess.CompletedProcess[str]:
    """Run a script, as a file or from standard input."""
    (folder / "s.yaml").write_text(SUITE)
    (folder / "script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "-" if stdin else "script.py"], cwd=folder,
        input=script if stdin else None, capture_output=True, text=True, timeout=120,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("stdin", [False, True])
def test_a_script_without_a_guard_runs_a_suite(tmp_path: Path, *, stdin: bool) -> None:
    done = python(tmp_path, CALL.replace("METHOD", "identity"), stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert "[1/1] done identity" in done.stdout
    assert done.stderr == ""


def test_a_script_with_a_method_and_a_guard_runs_its_method(tmp_path: Path) -> None:
    call = CALL.replace("METHOD", "darker").strip().replace("\n", "\n    ")
    script = f'{OWN_METHOD}\nif __name__ == "__main__":\n    {call}\n'
    done = python(tmp_path, script, stdin=False)
    assert done.returncode == 0, done.stderr
    assert "[1/1] done darker" in done.stdout


def test_a_script_with_a_method_and_no_guard_ends_with_the_remedy(tmp_path: Path) -> None:
    done = python(tmp_path, OWN_METHOD + CALL.replace("METHOD", "darker"), stdin=False)
    assert done.returncode == 2
    assert 'Put the call of nstbench below `if __name__ == "__main__":`' in done.stderr
    assert "The worker process does not start; its output is above." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_method_from_standard_input_is_refused_with_the_remedy(tmp_path: Path) -> None:
    done = python(tmp_path, OWN_METHOD + CALL.replace("METHOD", "darker"), stdin=True)
    assert done.returncode == 2
    assert done.stderr.startswith("darker: defined in standard input")
    assert "Write the class to a file" in done.stderr


def test_a_thread_can_run_a_suite(tmp_path: Path) -> None:
    call = CALL.replace("METHOD", "identity").strip().replace("\n", "\n    ")
    script = (
        f"import threading\ndef work():\n    {call}\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
    )
    done = python(tmp_path, script, stdin=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "[1/1] done identity" in done.stdout


def test_the_function_run_needs_no_guard_without_methods_of_the_script(tmp_path: Path) -> None:
    done = python(tmp_path, RUN.replace("METHOD", "identity"), stdin=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("<Results of s in runs/s: 1 done>\n")


def test_the_function_run_names_the_missing_guard(tmp_path: Path) -> None:
    done = python(tmp_path, OWN_METHOD + RUN.replace("METHOD", "darker"), stdin=False)
    assert done.returncode == 0  # the script handles the error
    assert 'Put the call of nstbench below `if __name__ == "__main__":`' in done.stderr
    assert "WorkerError The worker process does not start; its output is above." in done.stdout
    assert "Traceback" not in done.stderr


def test_the_function_run_refuses_a_method_from_standard_input(tmp_path: Path) -> None:
    done = python(tmp_path, OWN_METHOD + RUN.replace("METHOD", "darker"), stdin=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "UsageError darker: defined in standard input" in done.stdout
