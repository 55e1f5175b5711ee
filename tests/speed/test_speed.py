"""The speed comparisons run; their times are not checked, because they need an idle machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.speed import commands, overhead
from tests.speed._table import Row, rounds, spread, table


def test_every_round_runs_all_sides_and_every_second_round_runs_them_in_reverse() -> None:
    order: list[str] = []

    def side(name: str, cost: float) -> float:
        order.append(name)
        return cost

    costs = rounds([lambda: side("a", 1.0), lambda: side("b", 2.0)], 3)
    assert costs == [(1.0, 2.0)] * 3
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_table_shows_median_minimum_and_maximum() -> None:
    row = Row("what", "baseline", "+5 %", "+2 %", spread([3.0, 1.0, 2.0], "%", 1))
    assert table([row]).splitlines()[-1] == "| what | baseline | +5 % | +2 % | 2.0 % (1.0 to 3.0) |"


@pytest.mark.slow
def test_the_overhead_is_measured_with_and_without_mlflow() -> None:
    rows = overhead.compare(cells=4, count=1)
    assert [row.what for row in rows if row.limit] == [
        "4 cells of 50 ms, MLflow",
        "4 cells of 50 ms, --no-mlflow",
    ]


@pytest.mark.slow
def test_every_command_is_measured(tmp_path: Path) -> None:
    rows = commands.compare(tmp_path, count=1, seeds=1)
    assert [row.what.split(",")[0] for row in rows] == [
        "`nstbench --help`", "`nstbench plan`", "`nstbench plan`", "`nstbench report`",
    ]  # fmt: skip
