"""How much of its workers' time a run through Ray uses: cells that sleep, on more and more workers.

    python -m tests.speed.scaling

What sleeps costs nothing, so the harness and the engine are what is measured, on a cluster of its
own on this machine. Counted is the time from when all workers are busy to when the last cell is
begun: before that they start, each importing torch, which is once in a run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.speed._cli_process import ROOT, Done, nstbench
from tests.speed._sleeper import MARKS
from tests.speed._table import Row, table
from tests.speed.overhead import SUITE, install

STORE_BYTES = 80 * 2**20
"""Of each node's shared memory: the smallest that Ray takes."""

Call = tuple[float, float]
"""When a cell's method was called, and when it was done."""


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[str]:
    """Have so many nodes of one processor, and yield their head's address."""
    os.environ |= {
        "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}", MARKS: str(folder / "marks.txt"),
        "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
        "NSTBENCH_CACHE": str(folder / "cache"), "NSTBENCH_OFFLINE": "1",
    }  # fmt: skip
    from ray.cluster_utils import Cluster

    made = Cluster()
    made.add_node(num_cpus=0, object_store_memory=STORE_BYTES, include_dashboard=False)
    for _ in range(workers):
        made.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    try:
        yield made.address
    finally:
        made.shutdown()


def run(workers: int, cells: int, seconds: float) -> tuple[list[Call], Done]:
    """Return the calls of one run, and what became of the command."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        install(folder / "site")
        suite = folder / "overhead.yaml"
        suite.write_text(SUITE.format(seeds=list(range(cells))), encoding="utf-8")
        with cluster(workers, folder) as address:
            done = nstbench(
                "run", suite, "--out", folder / "runs", "--device", "cpu", "--no-mlflow",
                "--set", f"sleeper.seconds={seconds}", "--executor", "ray",
                "--ray-address", address,
                env={"PYTHONPATH": str(folder / "site")},
            )  # fmt: skip
        lines = (folder / "marks.txt").read_text(encoding="ascii").splitlines()
    calls = sorted((float(begin), float(end)) for begin, end in map(str.split, lines))
    if len(calls) != cells:
        raise SystemExit(f"{len(calls)} calls were made for {cells} cells:\n{done.output}")
    return calls, done


def efficiency(calls: Sequence[Call], workers: int) -> tuple[float, float]:
    """Return the share of their time that workers slept in cells, and the cells in a second."""
    begin = next(b for b, _ in calls if sum(first <= b < last for first, last in calls) == workers)
    end = max(b for b, _ in calls)
    asleep = sum(max(0.0, min(last, end) - max(first, begin)) for first, last in calls)
    return asleep / (workers * (end - begin)), sum(begin < e <= end for _, e in calls) / (
        end - begin
    )


def driver(calls: Sequence[Call], done: Done) -> str:
    """Tell the driver's memory when a tenth of the cells was done and when all were; and its CPU.

    Its milliseconds for a cell say how many cells a second it could tend at most.
    """
    ends = sorted(end for _, end in calls)
    tenth = len(ends) // 10
    early, late = (
        max((sample for sample in done.samples if sample.at <= moment), key=lambda one: one.at)
        for moment in (ends[tenth], ends[-1])
    )
    each = 1000 * (late.cpu_seconds - early.cpu_seconds) / (len(ends) - tenth)
    return f"{early.memory_mb:.0f} -> {late.memory_mb:.0f} MB, {each:.1f} ms of CPU a cell"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    print(table(list(compare(given.workers, given.cells, given.seconds))))


def compare(workers: Sequence[int], cells: int, seconds: float) -> Iterator[Row]:
    """Yield the rows of the table."""
    for number in workers:
        calls, done = run(number, cells, seconds)
        share, pace = efficiency(calls, number)
        yield Row(
            f"{cells} cells of {1000 * seconds:g} ms, {number} workers", "cells alone", "90 %", "",
            f"{100 * share:.1f} %, {pace:.1f} cells/s, driver {driver(calls, done)}",
        )  # fmt: skip


if __name__ == "__main__":
    main()
