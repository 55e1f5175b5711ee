"""Run every suite below a folder, one after the other, and print a row for each.

    python -m tests.field.run_cases FOLDER --weights vgg19=PATH

The folder holds suites with the files of real users: images in many formats, checkpoints of other
projects, unusual sizes and paths. A folder `site` beside a suite is added to the path of Python. No
input may cause a traceback.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from harness.store import Store
from harness.store.gc import suites
from tests.helpers.command_line import ROOT

USAGE = 2
"""Exit code of Click for a mistake of the user: all output explains it."""


def run(suite: Path, out: Path, options: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a suite in a separate process, without a network and without MLflow."""
    command = [sys.executable, "-m", "nstbench", "run", str(suite), "--offline", "--no-mlflow"]
    path = os.pathsep.join([str(ROOT), str(suite.parent / "site")])
    return subprocess.run(
        [*command, "--out", str(out), *options],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def outcome(done: subprocess.CompletedProcess[str], out: Path) -> list[str]:
    """Return the cells of a table's row: exit code, counts of cells and scores, and reasons."""
    records = [r for name in suites(out) for r in Store(out, name).all_records()]
    counts = Counter(record.status for record in records)
    missing = Counter(s.why_missing for r in records for s in r.scores if s.value is None)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    reasons = [line for line in lines if line.startswith("skipped: ")]
    if done.returncode == USAGE:
        reasons += lines
    reasons += [f"{r.cell.name}: {r.failure.message}" for r in records if r.failure]
    reasons += [f"no score: {reason}" for reason in missing]
    if "Traceback (most recent call last)" in done.stderr:
        reasons.insert(0, "TRACEBACK")
    others = ", ".join(
        f"{number} {status}" for status, number in counts.items() if status != "done"
    )
    return [str(done.returncode), str(counts["done"]), others, str(missing.total() or ""),
            "\n".join(reasons[:4])]  # fmt: skip


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--weights", multiple=True, metavar="NAME=PATH", help="As for `nstbench run`.")
@click.option("--only", default="*", help="Pattern of the paths of the suites to run.")
def main(folder: Path, weights: tuple[str, ...], only: str) -> None:
    """Run every suite below FOLDER and print a row for each."""
    options = [part for weight in weights for part in ("--weights", weight)]
    table = Table("suite", "s", "exit", "done", "others", "no score", "first reasons")
    for suite in sorted(folder.rglob("*.yaml")):
        if suite.match(only):
            with tempfile.TemporaryDirectory() as out:
                start = time.monotonic()
                done = run(suite, Path(out), options)
                seconds = f"{time.monotonic() - start:.0f}"
                table.add_row(suite.stem, seconds, *outcome(done, Path(out)))
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
