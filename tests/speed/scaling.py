"""Measure the share of worker time that a run through Ray spends in cells, by number of workers.

    python -m tests.speed.scaling

The cells sleep and use no CPU, so the result shows the overhead of the harness and of Ray, on a new
cluster on this machine. The measured interval starts when all workers are busy and ends when the
last cell starts. It excludes the start of the workers, each of which imports torch once per run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.speed._cli_process import ROOT, CommandResult, nstbench
from tests.speed._sleeper import CALLS, SUITE, Call, install, read_calls
from tests.speed._table import Row, table

STORE_BYTES = 80 * 2**20
"""Shared memory of each node: the minimum that Ray accepts."""


@contextmanager
def running_cluster(workers: int, folder: Path) -> Iterator[str]:
    """Start a cluster with one node of one core per worker; yield the address of its head."""
    os.environ |= {
        "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}", CALLS: str(folder / "calls.txt"),
        "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
        "NSTBENCH_CACHE": str(folder / "cache"), "NSTBENCH_OFFLINE": "1",
    }  # fmt: skip
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    cluster.add_node(num_cpus=0, object_store_memory=STORE_BYTES, include_dashboard=False)
    for _ in range(workers):
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def run(workers: int, cells: int, seconds: float) -> tuple[list[Call], CommandResult]:
    """Return the calls of one run, and the result of the command."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        install(folder / "site")
        suite = folder / "overhead.yaml"
        suite.write_text(SUITE.format(seeds=list(range(cells))), encoding="utf-8")
        with running_cluster(workers, folder) as address:
            result = nstbench(
                "run", suite, "--out", folder / "runs", "--device", "cpu", "--no-mlflow",
                "--set", f"sleeper.seconds={seconds}", "--executor", "ray",
                "--ray-address", address,
                env={"PYTHONPATH": str(folder / "site")},
            )  # fmt: skip
        calls = read_calls(folder / "calls.txt")
    if len(calls) != cells:
        raise SystemExit(f"{len(calls)} calls were made for {cells} cells:\n{result.output}")
    return calls, result


def efficiency(calls: Sequence[Call], workers: int) -> tuple[float, float]:
    """Return the share of time that workers spent in cells, from 0 to 1, and cells per second."""
    start = next(s for s, _ in calls if sum(first <= s < last for first, last in calls) == workers)
    seconds = max(s for s, _ in calls) - start
    end = start + seconds
    in_cells = sum(max(0.0, min(last, end) - max(first, start)) for first, last in calls)
    finished = sum(start < last <= end for _, last in calls)
    return in_cells / (workers * seconds), finished / seconds


def describe_driver(calls: Sequence[Call], result: CommandResult) -> str:
    """Describe the driver's memory after a tenth of the cells and after all, and its CPU time.

    The CPU time per cell limits the number of cells that one driver can serve in a second.
    """
    ends = sorted(end for _, end in calls)
    tenth = len(ends) // 10
    early, late = (
        max((sample for sample in result.samples if sample.at <= moment), key=lambda one: one.at)
        for moment in (ends[tenth], ends[-1])
    )
    each = 1000 * (late.cpu_seconds - early.cpu_seconds) / (len(ends) - tenth)
    return f"driver {early.memory_mb:.0f} -> {late.memory_mb:.0f} MB, {each:.1f} ms of CPU per cell"


def compare(workers: Sequence[int], cells: int, seconds: float) -> Iterator[Row]:
    """Yield a row for each number of workers."""
    for number in workers:
        calls, result = run(number, cells, seconds)
        share, cells_per_second = efficiency(calls, number)
        driver = describe_driver(calls, result)
        yield Row(
            f"{cells} cells of {1000 * seconds:g} ms, {number} workers", "cells alone", "90 %", "",
            f"{100 * share:.1f} %, {cells_per_second:.1f} cells/s, {driver}",
        )  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=400, help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=0.25, help="duration of a cell; default: %(default)s"
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2, 4, 8], help="numbers of workers to measure"
    )
    options = parser.parse_args()
    print(table(list(compare(options.workers, options.cells, options.seconds))))


if __name__ == "__main__":
    main()
