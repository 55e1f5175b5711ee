"""Warm-up with a simulated clock."""

from __future__ import annotations

import pytest
import torch

from harness.execution.machine import timing


@pytest.mark.parametrize(
    ("seconds", "runs"),
    [
        ([1.0, 1.0, 1.0], 2),  # one run has nothing to agree with
        ([1.0, 0.2, 0.19, 0.2], 3),  # 0.2 and 0.19 differ by a twentieth
        ([0.1, 0.2] * 8, 8),  # never steady: the limit of eight runs
        ([2.0, 1.0, 0.1, 0.1], 3),  # 3.1 s exceed the limit of 3.0 s
    ],
)
def test_a_warm_up_ends_when_two_runs_agree_or_at_a_limit(
    seconds: list[float], runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, done = [0.0], 0

    def work() -> None:
        nonlocal done
        now[0] += seconds[done]
        done += 1

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    timing.until_steady(work, torch.device("cpu"))
    assert done == runs
