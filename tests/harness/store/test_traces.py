"""The points of a loss trace that charts show."""

from __future__ import annotations

from harness.records import TracePoint
from harness.store.traces import without_trials


def test_charts_omit_trial_points_of_a_line_search_and_keep_a_divergence() -> None:
    def points(*totals: float) -> list[TracePoint]:
        return [TracePoint("stylize", i, 0.0, {"total": t}) for i, t in enumerate(totals, 1)]

    assert [p.index for p in without_trials(points(10, 21, 9, 20, 3))] == [1, 3, 4, 5]
    diverged = points(10, 5, 1e9)
    assert without_trials(diverged) == diverged
    assert without_trials([]) == []
