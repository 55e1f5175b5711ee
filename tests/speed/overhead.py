"""Measure the overhead of the harness: 200 cells that sleep 50 ms, compared with direct calls.

    python -m tests.speed.overhead

The time runs from the start of the first call to the end of the last one. Only the time of the
whole command includes the start of the worker, which imports torch, and the page. The suite has no
metrics, because their cost is not overhead. Images are stored at 256 pixels.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, cast

from tests.speed._cli_process import CommandResult, nstbench
from tests.speed._sleeper import CALLS, SUITE, Sleeper, install, read_calls
from tests.speed._table import Row, rounds, spread, table

if TYPE_CHECKING:
    from nstbench import Context


class _StepSink:
    """The part of a Context that the sleeper uses."""

    def on_step(self, step: object) -> None:
        """Ignore the step."""


def time_direct_calls(cells: int, folder: Path) -> float:
    """Return the seconds of direct calls, each of which writes its times to a file."""
    os.environ[CALLS] = str(folder / "direct.txt")
    method, context = Sleeper(), cast("Context", _StepSink())
    start = time.perf_counter()
    for _ in range(cells):
        method.fit(None, context)(None, context)  # type: ignore[arg-type]
    return time.perf_counter() - start


def time_run(cells: int, folder: Path, *options: str) -> tuple[float, CommandResult]:
    """Run a suite; return the seconds from the start of the first call to the end of the last."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        temporary = Path(name)
        suite, calls_file = temporary / "overhead.yaml", temporary / "calls.txt"
        suite.write_text(SUITE.format(seeds=list(range(cells))), encoding="utf-8")
        result = nstbench(
            "run", suite, "--out", temporary / "runs", "--device", "cpu", *options,
            env={CALLS: str(calls_file), "PYTHONPATH": str(folder / "site")},
        )  # fmt: skip
        calls = read_calls(calls_file)
    if len(calls) != cells:
        raise SystemExit(f"{len(calls)} calls were made for {cells} cells:\n{result.output}")
    return calls[-1][1] - calls[0][0], result


def compare(cells: int, count: int) -> list[Row]:
    """Return the rows of the table, measured in `count` rounds."""
    results: dict[str, list[CommandResult]] = {"MLflow": [], "--no-mlflow": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder / "site")

        def side(label: str, *options: str) -> float:
            seconds, result = time_run(cells, folder, *options)
            results[label].append(result)
            return seconds

        costs = rounds(
            [lambda: time_direct_calls(cells, folder), lambda: side("MLflow"),
             lambda: side("--no-mlflow", "--no-mlflow")], count,
        )  # fmt: skip
    return [row for index, label in enumerate(results, 1)
            for row in _rows(label, cells, costs, index, results[label])]  # fmt: skip


def _rows(
    label: str,
    cells: int,
    costs: Sequence[tuple[float, ...]],
    side: int,
    results: Sequence[CommandResult],
) -> list[Row]:
    overhead = [(cost[side] / cost[0] - 1) * 100 for cost in costs]
    baseline = f"direct calls, {median(cost[0] for cost in costs):.2f} s"
    seconds = [result.seconds for result in results]
    peak = [result.peak_mb for result in results]
    return [
        Row(f"{cells} cells of 50 ms, {label}", baseline, "+5 %", "+2 %", spread(overhead, "%")),
        Row(f"whole command, {label}", "", "", "", spread(seconds, "s")),
        Row(f"memory of the main process, {label}", "", "", "", spread(peak, "MB", 0)),
    ]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    options = parser.parse_args()
    print(table(compare(options.cells, options.rounds)))


if __name__ == "__main__":
    main()
