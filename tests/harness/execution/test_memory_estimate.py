"""The memory estimate of a pass, and cells that are skipped because of it."""

from __future__ import annotations

import pytest
import torch

from harness.execution.machine import memory_estimate
from harness.execution.runner import Runner
from harness.registry import METHODS
from tests.helpers.faults.faulty_cells import ENCODER, job

PER_PIXEL = (3 + 24) * 4
"""Bytes of the convolution's input and of 24 channels, which the ReLU overwrites in place."""


def test_the_memory_of_a_pass_is_proportional_to_pixels_and_batch(runner: Runner) -> None:
    encoder = runner.contexts.encoder(ENCODER)
    single_job = job("", method="gatys", style_layers=["relu1_1"], content_layers=[])
    method = METHODS.build("gatys", single_job.cell.params)
    need = memory_estimate.lower_bound(method, encoder, single_job.cell, torch.zeros(2, 3, 50, 40))
    assert (need.batch, need.height, need.width) == (2, 50, 40)
    assert need.bytes == pytest.approx(PER_PIXEL * 2 * 50 * 40, rel=1e-4)
    trained = METHODS.build("johnson", {"batch_size": 3, "crop": 32, "style_layers": ["relu1_1"],
                                        "content_layers": ["relu1_1"]})  # fmt: skip
    need = memory_estimate.lower_bound(
        trained, encoder, single_job.cell, torch.zeros(1, 3, 500, 400)
    )
    # A training needs memory for its crops, not for the contents.
    assert need.bytes == pytest.approx(PER_PIXEL * 3 * 32 * 32, rel=1e-4)


def test_a_cell_that_is_too_large_is_skipped_with_the_numbers(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_estimate, "MIN_CHECKED_BYTES", 0)
    monkeypatch.setattr("harness.execution.machine.memory_limit.free", lambda: 10_000_000)
    params = {"iterations": 1, "style_layers": ["relu1_1"], "content_layers": []}
    assert runner.execute(job("", method="gatys", **params)).record.ok
    monkeypatch.setattr(
        "harness.execution.machine.memory_limit.free", lambda: 24 * 32 * PER_PIXEL - 1
    )
    record = runner.execute(job("", method="gatys", **params)).record
    assert record.status == "skipped"
    assert record.failure is not None
    assert "1 × 24 × 32 pixels through random in float32" in record.failure.message
    assert record.failure.traceback == ""
