"""`nstbench.run` does what the command does, and raises where the command exits."""

from __future__ import annotations

import errno
import inspect
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nstbench
from harness.api.runs import _overrides, disk_errors
from harness.cli.main import main
from harness.errors import NstbenchError, StoreError, SuiteError, UsageError
from harness.suite import yaml_loader
from nstbench import Results
from tests.helpers.command_line import ROOT, command
from tests.helpers.small_suite import small_suite


def run(path: Path, **options: Any) -> Results:
    """Run a suite next to its file."""
    return nstbench.run(path, out=path.parent / "runs", mlflow=False, **options)


def test_a_run_in_python_is_reused_by_the_command(suite_file: Path, capsys: Any) -> None:
    """Both have the same cells, the same folder and the same record of the run."""
    results = run(suite_file, set={"sizes": [48], "seeds": [3]}, timeout=60.0)
    printed = capsys.readouterr().out
    assert "[1/1] done identity/coffee--grass/s3" in printed
    assert results._view.run.command == (
        f"nstbench run {suite_file} --set 'sizes=[48]' --set 'seeds=[3]' --out "
        f"{suite_file.parent / 'runs'} --offline --timeout 60.0 --no-mlflow"
    )
    options = ["--set", "sizes=[48]", "--set", "seeds=[3]", "--no-mlflow"]
    done = command("run", suite_file, *options, "--out", suite_file.parent / "runs")
    assert "0 to run, 1 reused" in done.output


def test_a_quiet_run_prints_nothing_and_says_why_no_cell_can_run(
    suite_file: Path, capfd: Any
) -> None:
    with pytest.raises(UsageError, match=r"No cell of this suite can run here. .*vgg19"):
        run(suite_file, set={"methods": {"identity": {"encoder": "vgg19"}}}, quiet=True)
    assert capfd.readouterr() == ("", "")


def test_values_of_python_are_written_as_in_a_suite() -> None:
    values = {
        "a": None, "b": True, "c": 1e-5, "d": "yes: no", "e": [np.float64(0.5), np.int64(3)],
        "f": {"path": Path("x")}, "g": (1, 2), "h": "naïve \n 𝄞",
    }  # fmt: skip
    parsed = {
        name: yaml_loader.parse(text)
        for name, _, text in (one.partition("=") for one in _overrides(values))
    }
    assert parsed == {**values, "f": {"path": "x"}, "g": [1, 2]}
    with pytest.raises(UsageError, match=r"set\['k'\] is .* cannot be written to a suite"):
        list(_overrides({"k": object()}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"set": {"sizes": ["big"]}}, "sizes[0]: 'big' should be a valid integer."),
        ({"set": {"nothing": 1}}, "'nothing' does not exist."),
        ({"profile": "huge"}, "--profile: 'huge' is not a profile of"),
        ({"metrics": ["sim"]}, "Did you mean 'ssim'?"),
        ({"metrics": "ssim"}, "metrics='ssim' is a text. Pass a list: ['ssim']."),
        ({"device": "tpu"}, "--device tpu: torch"),
        ({"encoder": "vgg"}, "--encoder: 'vgg' is not an encoder"),
        ({"max_failures": 0}, "--max-failures 0 is neither a positive whole number"),
        ({"batch_cells": 2, "deterministic": True}, "--batch-cells 2 cannot be combined"),
        ({"batch_cells": 0}, "batch_cells=0 is not a positive number."),
        ({"timeout": -1}, "timeout=-1 is not a positive number."),
        ({"precision": "half"}, "precision='half' is not one of auto, float32, bfloat16."),
        ({"executor": "slurm"}, "executor='slurm' is not one of local, ray."),
        ({"gpus_per_worker": 2}, "gpus_per_worker=2 is more than one GPU."),
        ({"gpus_per_worker": 0.5}, "--gpus-per-worker 0.5 requires --batch-cells"),
        ({"ray_address": "auto"}, "--ray-address auto requires --executor ray."),
        ({"weights": {"vgg19": "no.pth"}}, "--weights vgg19=no.pth: there is no such file."),
    ],
)  # fmt: skip
def test_a_mistake_raises_the_message_of_the_command(
    suite_file: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(NstbenchError) as raised:
        run(suite_file, **options)
    assert message in str(raised.value)
    assert not (suite_file.parent / "runs" / "s" / "run.json").exists()


def test_a_missing_suite_and_a_missing_file_are_errors_of_nstbench(suite_file: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no suite .*none.yaml"):
        run(suite_file.parent / "none.yaml")
    with pytest.raises(SuiteError):
        run(Path(__file__))


def test_a_file_is_no_folder_of_results(suite_file: Path) -> None:
    with pytest.raises(UsageError, match=r"s.yaml' is a file. Choose a folder"):
        nstbench.run(suite_file, out=suite_file)


def test_an_error_of_a_disk_has_the_message_of_the_command() -> None:
    message = r"x: No space left on device. Finished results are kept"
    with pytest.raises(StoreError, match=message), disk_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "x")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("NSTBENCH_OFFLINE", "maybe", "NSTBENCH_OFFLINE=maybe is not yes or no."),
        ("NSTBENCH_TIMEOUT", "soon", "NSTBENCH_TIMEOUT=soon is not a number."),
        ("NSTBENCH_PRECISION", "half", "precision='half' is not one of"),
        ("NSTBENCH_WEIGHTS", "vgg19", "--weights vgg19 is not of the form NAME=PATH"),
        ("NSTBENCH_ENCODER", "vgg", "--encoder: 'vgg' is not an encoder"),
    ],
)
def test_the_environment_sets_what_is_not_given(
    suite_file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(UsageError) as raised:
        run(suite_file)
    assert message in str(raised.value)


def test_every_option_of_the_command_is_an_argument() -> None:
    """Except --fail-fast, which is short for `max_failures=1`."""
    arguments = set(inspect.signature(nstbench.run).parameters)
    options = {str(parameter.name) for parameter in main.commands["run"].params}
    names = {"overrides": "set", "no_mlflow": "mlflow"}
    assert {names.get(name, name) for name in options} - arguments == {"fail_fast"}
    assert arguments - {names.get(name, name) for name in options} == {"metrics", "quiet"}


def test_ctrl_c_ends_a_run_with_its_finished_cells(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        small_suite("s", "{identity: , gatys: {params: {iterations: 100000}}}", "metrics: [ssim]")
    )
    script = "import nstbench; nstbench.run('s.yaml', mlflow=False, offline=True)"
    process = subprocess.Popen(
        [sys.executable, "-uc", script], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if "[1/2] done identity" in line:
            process.send_signal(signal.SIGINT)
        if "stopping after this cell" in line:
            process.send_signal(signal.SIGINT)
            break
    output, errors = process.communicate(timeout=60)
    assert "Interrupted. Finished cells are kept." in output
    assert errors.rstrip().endswith("KeyboardInterrupt")
    results = nstbench.load(tmp_path / "runs" / "s")
    # The second cell has no record if the first Ctrl-C came before it began.
    assert list(results.cells["status"]) in (["done", "interrupted"], ["done"])
