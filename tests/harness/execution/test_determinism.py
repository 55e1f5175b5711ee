"""`--deterministic` gives the same bits each time on one machine."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from harness import suite
from harness.execution.prepare import ReadyRun, RunOptions, prepare
from harness.records import Record
from harness.store import Store
from methods._deterministic_padding import reflected
from methods._transformer_net import TransformerNet
from methods.johnson import Johnson
from tests.helpers.command_line import nstbench

SUITE = """\
version: 1
name: bits
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {hubble: {builtin: hubble_deep_field}}
methods:
  gatys: {params: {iterations: 6}, axes: {optimizer: [lbfgs, adam]}}
  johnson:
    params: {width: 0.25, steps: 4, batch_size: 2}
    axes: {norm: [instance, batch]}
metrics: []
"""
CELLS = 4


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def outs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The folders of two runs; the first one contains the suite."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    path = folders[0] / "bits.yaml"
    path.write_text(SUITE)
    for out in folders:
        common = ("--out", out, "--offline", "--no-mlflow", "--device", request.param)
        result = nstbench("run", path, *common, "--deterministic")
        assert result.returncode == 0, result.stdout + result.stderr
    return folders


def prepared(out: Path, device: str, *, deterministic: bool = True) -> ReadyRun:
    options = RunOptions(out, device, offline=True, deterministic=deterministic)
    return prepare(suite.load(out / "bits.yaml"), options)


def records(out: Path) -> list[Record]:
    store = Store(out, "bits")
    return list(store.records(store.run()))


def test_the_same_run_twice_gives_the_same_bits(outs: tuple[Path, Path]) -> None:
    one, two = ({r.cell.name: r.image_sha256 for r in records(out)} for out in outs)
    assert len(one) == CELLS
    assert all(one.values())
    assert one == two


def test_record_and_page_show_the_level_of_determinism(outs: tuple[Path, Path]) -> None:
    (level,) = {record.environment["deterministic"] for record in records(outs[0])}
    assert level.startswith("bitwise on this machine (")
    assert level.endswith(f"torch {torch.__version__})")
    assert level in (outs[0] / "bits" / "report.html").read_text(encoding="utf-8")


def test_results_without_deterministic_mode_are_made_again(outs: tuple[Path, Path]) -> None:
    device = "cpu" if records(outs[0])[0].cell.device == "cpu" else "cuda"
    found = prepared(outs[0], device)
    assert found.plan.count("reuse") == CELLS
    for record in records(outs[0]):
        seeded = {**record.environment, "deterministic": "seeded"}
        found.store.rewrite(replace(record, environment=seeded))

    again = prepared(outs[0], device)
    assert {(e.action, e.why) for e in again.plan.entries} == {
        ("run", "made without --deterministic")
    }
    stored_fits = [job.kept for (job,) in again.batches() if job.cell.training]
    assert len(stored_fits) == 2
    assert all(stored_fits)  # trained in deterministic mode
    for cell in again.plan.cells:
        if cell.training and (fit := found.store.fit(cell.fit_id)):
            found.store.write_fit(cell, fit[0], {**fit[1], "deterministic": False})
    stored_fits = [job.kept for (job,) in again.batches() if job.cell.training]
    assert len(stored_fits) == 2
    assert not any(stored_fits)
    assert prepared(outs[0], device, deterministic=False).plan.count("reuse") == CELLS


def test_batches_are_rejected_because_they_change_bits(tmp_path: Path) -> None:
    path = tmp_path / "bits.yaml"
    path.write_text(SUITE)
    result = nstbench("run", path, "--out", tmp_path, "--deterministic", "--batch-cells")
    assert result.returncode == 2
    assert "--batch-cells 8 cannot be combined with --deterministic" in result.stderr


ALIGNMENTS = """\
from harness.execution.machine import determinism
determinism.enable()
import torch

def at(x, offset):  # copy x to `offset` floats after a boundary of 64 bytes
    room = torch.empty(x.numel() + 32)
    start = -(room.data_ptr() // 4) % 16 + offset
    return room[start : start + x.numel()].view(x.shape).copy_(x)

rows, vector = torch.randn(1, 10, 36864), torch.randn(1, 36864, 1)
products = {tuple((at(rows, i) @ at(vector, j)).flatten().tolist())
            for i in (0, 1, 4, 7) for j in (0, 1, 4, 7)}
print(len(products))
"""


@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="tests MKL")
def test_a_matrix_product_does_not_depend_on_memory_alignment() -> None:
    # Without the setting MKL has nine results for this product of L-BFGS.
    result = subprocess.run(
        [sys.executable, "-c", ALIGNMENTS], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "1"


@pytest.fixture
def deterministic() -> Any:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


# In the last case every inner pixel is mirrored on both sides.
@pytest.mark.parametrize(("edge", "height", "width"), [(4, 16, 21), (1, 8, 8), (4, 5, 6)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_padding_equals_that_of_torch_bitwise_and_its_gradient_up_to_rounding(
    edge: int, height: int, width: int, layout: torch.memory_format
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, height, width, generator=generator).to(memory_format=layout)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    padded, reference = reflected(one, edge), nn.ReflectionPad2d(edge)(other)
    assert torch.equal(padded, reference)
    weights = torch.randn(reference.shape, generator=generator)
    (padded * weights).sum().backward()
    (reference * weights).sum().backward()
    assert one.grad is not None
    assert other.grad is not None
    assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-5)
    assert one.grad.is_contiguous(memory_format=layout)  # convolutions are fast in this layout


def test_the_gradient_of_padding_equals_finite_differences() -> None:
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: reflected(x, 3), [x])


def functions(tensor: torch.Tensor) -> set[str]:
    """Return the names of all functions in the backward graph."""
    found, pending = {tensor.grad_fn}, [tensor.grad_fn]
    while pending:
        for function, _ in pending.pop().next_functions:  # type: ignore[union-attr]
            if function is not None and function not in found:
                found.add(function)
                pending.append(function)
    return {type(function).__name__ for function in found}


def test_a_network_uses_deterministic_padding_in_deterministic_mode(deterministic: None) -> None:
    network = TransformerNet(Johnson(width=0.25))
    names = functions(network(torch.rand(1, 3, 32, 32)))
    assert "_ReflectedBackward" in names
    assert not [name for name in names if name.startswith("ReflectionPad")]
    torch.use_deterministic_algorithms(False)
    assert "ReflectionPad2DBackward0" in functions(network(torch.rand(1, 3, 32, 32)))
