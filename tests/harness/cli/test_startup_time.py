"""What a command may not wait for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.resources import devices

SUITE = """\
version: 1
name: s
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
methods: {gatys: {params: {optimizer: adam}}}
"""


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_plan_loads_no_torch_where_there_is_no_gpu(tmp_path: Path, device: str) -> None:
    if device == "auto" and devices._has_driver():
        pytest.skip("there may be one here")
    (tmp_path / "s.yaml").write_text(SUITE)
    arguments = ["plan", "s.yaml", "--offline", "--device", device]
    code = (
        "import sys; from harness.cli.main import main\n"
        f"main({arguments}, standalone_mode=False)\n"
        "sys.exit([m for m in ('torch', 'mlflow', 'scipy', 'requests') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert done.stderr.strip() == "[]"
    assert "1 to run" in done.stdout


def test_a_hidden_gpu_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not devices._has_driver()


def test_a_driver_is_taken_for_a_sign_and_torch_for_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    devices.find_device.cache_clear()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "DRIVERS", ("libc.so.6",))  # loads, as a driver would
    assert devices._has_driver()
    assert devices.find_device("auto") == "cpu"
    devices.find_device.cache_clear()
