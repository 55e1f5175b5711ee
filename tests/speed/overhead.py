"""Measure the overhead of the harness: 200 cells that sleep 50 ms, against direct calls.

    python -m tests.speed.overhead

The time runs from the start of the first call to the end of the last one. The start of the worker,
which imports torch, and the page are part of the whole command's time only. The suite has no
metrics, because their cost is not overhead; images are stored at 256 pixels.
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

from tests.speed._cli_process import Done, nstbench
from tests.speed._sleeper import MARKS, Sleeper
from tests.speed._table import Row, rounds, spread, table

if TYPE_CHECKING:
    from nstbench import Context

SUITE = """\
version: 1
name: overhead
encoder: random
sizes: [256]
contents: {{coffee: {{builtin: coffee}}}}
styles: {{brick: {{builtin: brick}}}}
methods: {{sleeper: }}
metrics: []
seeds: {seeds}
"""


def install(site: Path) -> None:
    """Register `_sleeper` by an entry point, as an installed package."""
    info = site / "sleeper-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nstbench.methods]\nsleeper = tests.speed._sleeper\n")


def bare(cells: int, folder: Path) -> float:
    """Return the seconds of direct calls, each of which writes its times to a file."""
    os.environ[MARKS] = str(folder / "bare.txt")
    method, context = Sleeper(), cast("Context", _Listener())
    begin = time.perf_counter()
    for _ in range(cells):
        method.fit(None, context)(None, context)  # type: ignore[arg-type]
    return time.perf_counter() - begin


class _Listener:
    """The part of a Context that the sleeper uses."""

    def on_step(self, step: object) -> None:
        """Ignore the step."""


def harnessed(cells: int, folder: Path, *options: str) -> tuple[float, Done]:
    """Return the seconds from the start of the first call to the end of the last one."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        here = Path(name)
        suite, marks = here / "overhead.yaml", here / "marks.txt"
        suite.write_text(SUITE.format(seeds=list(range(cells))), encoding="utf-8")
        done = nstbench(
            "run", suite, "--out", here / "runs", "--device", "cpu", *options,
            env={MARKS: str(marks), "PYTHONPATH": str(folder / "site")},
        )  # fmt: skip
        calls = [tuple(map(float, line.split())) for line in marks.read_text().splitlines()]
    if len(calls) != cells:
        raise SystemExit(f"{len(calls)} calls were made for {cells} cells:\n{done.output}")
    return calls[-1][1] - calls[0][0], done


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(table(compare(given.cells, given.rounds)))


def compare(cells: int, count: int) -> list[Row]:
    """Return the rows of the table."""
    runs: dict[str, list[Done]] = {"MLflow": [], "--no-mlflow": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder / "site")

        def side(label: str, *options: str) -> float:
            seconds, done = harnessed(cells, folder, *options)
            runs[label].append(done)
            return seconds

        results = rounds(
            [lambda: bare(cells, folder), lambda: side("MLflow"),
             lambda: side("--no-mlflow", "--no-mlflow")], count,
        )  # fmt: skip
    return [row for index, label in enumerate(runs, 1)
            for row in _rows(label, cells, results, index, runs[label])]  # fmt: skip


def _rows(
    label: str, cells: int, results: Sequence[tuple[float, ...]], side: int, runs: Sequence[Done]
) -> list[Row]:
    added = [(result[side] / result[0] - 1) * 100 for result in results]
    bare_seconds = f"bare calls, {median(result[0] for result in results):.2f} s"
    whole = [done.seconds for done in runs]
    peak = [done.peak_mb for done in runs]
    return [
        Row(f"{cells} cells of 50 ms, {label}", bare_seconds, "+5 %", "+2 %", spread(added, "%")),
        Row(f"the whole command, {label}", "", "", "", spread(whole, "s")),
        Row(f"memory of the parent, {label}", "", "", "", spread(peak, "MB", 0)),
    ]


if __name__ == "__main__":
    main()
