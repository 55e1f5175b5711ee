"""Clocks, on clocks of our own."""

from __future__ import annotations

import pytest
import torch

from harness.execution.machine import timing


@pytest.mark.parametrize(
    ("seconds", "runs"),
    [
        ([1.0, 1.0, 1.0], 2),  # the first run says nothing yet
        ([1.0, 0.2, 0.19, 0.2], 3),  # 0.2 and 0.19 differ by a twentieth
        ([0.1, 0.2] * 8, 8),  # never steady: eight runs are enough
        ([2.0, 1.0, 0.1, 0.1], 3),  # 3.1 s are too long to go on, 3.0 s were not
    ],
)
def test_a_warm_up_ends_when_two_runs_agree_or_when_it_has_taken_too_long(
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
