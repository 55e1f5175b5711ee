"""Modules that a command must not load, because they take seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.resources import devices
from tests.helpers.command_line import ROOT

SUITE = """\
version: 1
name: s
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
methods: {gatys: {params: {optimizer: adam}}}
"""


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_plan_loads_no_torch_without_a_gpu_driver(tmp_path: Path, device: str) -> None:
    if device == "auto" and devices._has_driver():
        pytest.skip("this machine has a GPU driver")
    (tmp_path / "s.yaml").write_text(SUITE)
    arguments = ["plan", "s.yaml", "--offline", "--device", device]
    code = (
        "import sys; from harness.cli.main import main\n"
        f"main({arguments}, standalone_mode=False)\n"
        "sys.exit([m for m in ('torch', 'mlflow', 'scipy', 'requests') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.stderr.strip() == "[]"
    assert "1 to run" in result.stdout


def test_a_gpu_hidden_by_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not devices._has_driver()


def test_with_a_driver_torch_decides_whether_there_is_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    devices.find_device.cache_clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "DRIVERS", ("libc.so.6",))  # a library that loads
    assert devices._has_driver()
    assert devices.find_device("auto") == "cpu"
    devices.find_device.cache_clear()


@pytest.mark.parametrize(
    ("code", "slow"),
    [
        ("import nstbench", ("torch", "mlflow", "pandas", "numpy", "PIL", "scipy", "harness")),
        ("import nstbench; nstbench.run, nstbench.Score", ("torch", "mlflow", "pandas")),
        ("import nstbench; nstbench.score", ("torch", "mlflow", "pandas")),
        ("import nstbench; nstbench.load", ("torch", "mlflow")),
    ],
)
def test_a_name_of_the_module_imports_only_what_it_needs(code: str, slow: tuple[str, ...]) -> None:
    check = f"import sys; {code}; sys.exit([m for m in {slow} if m in sys.modules] or None)"
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
