"""Measure the commands that must respond quickly, and the page of a large suite.

    python -m tests.speed.commands

Times are of whole commands, including their start. The store holds invented scores; the images of
the page are different crops of photographs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from tests.speed._cli_process import Done, nstbench, python
from tests.speed._results import fill, write_suite
from tests.speed._table import Row, rounds, spread, table

Command = tuple[str | Path, ...]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seeds", type=int, default=10, help="200 cells each, five times as many for `plan`"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(table(compare(Path(folder), given.rounds, given.seeds)))


def compare(folder: Path, count: int, seeds: int) -> list[Row]:
    """Return the rows of the table; by default 10,000 cells are planned and 1,000 reported."""
    large = write_suite(folder, "large", 5, seeds)
    page = write_suite(folder, "page", 1, max(1, seeds // 2))
    planned = len(fill(large, folder / "stored", pictures=False).plan.cells)
    shown = len(fill(page, folder / "stored", pictures=True).plan.cells)
    plan: Command = ("plan", large, "--offline", "--out")
    commands: dict[str, Command] = {
        "--help": ("--help",),
        "absent": (*plan, folder / "none"),
        "present": (*plan, folder / "stored"),
        "report": ("report", "page", "--out", folder / "stored"),
    }
    runs: dict[str, list[Done]] = {name: [] for name in commands}

    def side(name: str) -> float:
        runs[name].append(nstbench(*commands[name]))
        return runs[name][-1].seconds

    results = rounds(
        [lambda: python("-c", "pass").seconds,
         *(lambda name=name: side(name) for name in commands)], count,  # type: ignore[misc]
    )  # fmt: skip
    nothing, help_, absent, present, report = zip(*results, strict=True)
    more = [whole - start for whole, start in zip(help_, nothing, strict=True)]
    html = folder / "stored" / "page" / "report.html"
    size = f"{html.stat().st_size / 1e6:.1f} MB"
    memory = {name: f"{median(done.peak_mb for done in runs[name]):.0f} MB" for name in runs}
    start = f"`python -c pass`, {median(nothing):.3f} s"
    return [
        Row("`nstbench --help`", start, "+0.3 s", "+0.15 s", spread(more, "s", 3)),
        Row(f"`nstbench plan`, {planned:,} cells, no records", memory["absent"], "2 s", "1 s",
            spread(absent, "s")),
        Row(f"`nstbench plan`, {planned:,} cells, all stored", memory["present"], "2 s", "1 s",
            spread(present, "s")),
        Row(f"`nstbench report`, {shown:,} cells", f"{size} page, {memory['report']}", "15 s",
            "7.5 s", spread(report, "s")),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
