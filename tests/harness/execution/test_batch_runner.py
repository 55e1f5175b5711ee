"""Cells that run in batches: their records, failures and snapshots."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from harness.execution.batch_runner import execute_batch
from harness.execution.runner import Runner
from tests.helpers.faults.faulty_cells import Faulty, job, pixels_of

pytestmark = pytest.mark.usefixtures("faulty")


def test_a_batch_gives_each_cell_its_own_record_and_an_even_share_of_the_seconds(
    runner: Runner,
) -> None:
    jobs = [job("", content, method="gatys", iterations=3) for content in ("a", "b")]
    jobs[1] = dataclasses.replace(jobs[1], content=jobs[1].content[:, ::-1].copy())
    outcomes = execute_batch(runner, jobs)
    timings = [outcome.record.timing for outcome in outcomes]
    assert all(timing is not None for timing in timings)
    assert [timing.shared_by for timing in timings if timing] == [2, 2]
    assert timings[0] is not None
    assert timings[1] is not None
    assert timings[0].stylize_seconds == timings[1].stylize_seconds
    assert timings[0].passes == timings[1].passes == 3
    assert outcomes[0].record.cell.id != outcomes[1].record.cell.id
    assert not np.array_equal(pixels_of(outcomes[0]), pixels_of(outcomes[1]))
    for single_job, outcome in zip(jobs, outcomes, strict=True):
        alone = runner.execute(single_job)
        assert np.abs(pixels_of(alone).astype(int) - pixels_of(outcome)).mean() < 1


def test_cells_of_a_failed_batch_run_alone_and_only_the_faulty_one_fails(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stylize_batch(self: Faulty, stylizers: Any, contents: Any, contexts: Any) -> torch.Tensor:
        raise RuntimeError("one cell of the batch is faulty")

    monkeypatch.setattr(Faulty, "stylize_batch", stylize_batch, raising=False)
    outcomes = execute_batch(runner, [job("well", "a"), job("raises", "b")])
    assert [outcome.record.status for outcome in outcomes] == ["done", "failed"]
    assert outcomes[0].record.timing is not None
    assert outcomes[0].record.timing.shared_by == 1


def test_images_that_were_made_before_have_no_times_alone_and_in_a_batch(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stylize_batch(self: Faulty, stylizers: Any, contents: Any, contexts: Any) -> torch.Tensor:
        calls.append(len(contents))
        return torch.cat([s(c[None], None) for s, c in zip(stylizers, contents, strict=True)])

    calls: list[int] = []
    monkeypatch.setattr(Faulty, "stylize_batch", stylize_batch, raising=False)
    monkeypatch.setattr(Faulty, "timed", "nothing")
    both = [job("well", "a"), job("well", "b")]
    outcomes = [*execute_batch(runner, both), runner.execute(both[0])]
    assert [(o.record.status, o.record.timing) for o in outcomes] == [("done", None)] * 3
    assert calls == [2]  # once, since there is nothing to time


def test_times_that_include_the_start_of_a_program_are_marked(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timing() -> Any:
        return runner.execute(job("well")).record.timing

    assert not timing().includes_start_up
    monkeypatch.setattr(Faulty, "timed", "stylization and start-up")
    assert timing().includes_start_up


def test_cells_of_a_batch_have_their_own_snapshots(runner: Runner) -> None:
    params = {"iterations": 3, "optimizer": "adam", "style_layers": ["relu1_1"]}
    both = [job("", name, method="gatys", init="noise", **params) for name in "cd"]
    together = execute_batch(runner, both)
    alone = [runner.execute(one) for one in both]
    for one, other in zip(together, alone, strict=True):
        assert list(one.snapshots) == [1, 2]
        assert np.abs(one.snapshots[2].astype(int) - other.snapshots[2]).max() <= 1
    assert (together[0].snapshots[1] != together[1].snapshots[1]).any()
