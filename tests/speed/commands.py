"""Measure the commands that must respond quickly, and the page of a large suite.

    python -m tests.speed.commands

Times are of whole commands, including their start. The scores in the store are random numbers; the
images on the page are different crops of photographs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median

from tests.speed._cli_process import CommandResult, nstbench, python
from tests.speed._results import fill, write_suite
from tests.speed._table import Row, rounds, spread, table

Command = tuple[str | Path, ...]


def compare(folder: Path, count: int, seeds: int) -> list[Row]:
    """Return the rows of the table, measured in `count` rounds.

    Args:
        folder: Receives the suites and the stores.
        count: Number of rounds.
        seeds: With 10, 10,000 cells are planned and 1,000 are on the page.
    """
    large = write_suite(folder, "large", 5, seeds)
    page = write_suite(folder, "page", 1, max(1, seeds // 2))
    planned = len(fill(large, folder / "stored", with_images=False).plan.cells)
    shown = len(fill(page, folder / "stored", with_images=True).plan.cells)
    plan: Command = ("plan", large, "--offline", "--out")
    commands: dict[str, Command] = {
        "--help": ("--help",),
        "plan without records": (*plan, folder / "none"),
        "plan with records": (*plan, folder / "stored"),
        "report": ("report", "page", "--out", folder / "stored"),
    }
    results: dict[str, list[CommandResult]] = {name: [] for name in commands}

    def side(name: str) -> float:
        results[name].append(nstbench(*commands[name]))
        return results[name][-1].seconds

    costs = rounds(
        [lambda: python("-c", "pass").seconds,
         *(lambda name=name: side(name) for name in commands)], count,
    )  # fmt: skip
    python_start, help_, without, with_, report = zip(*costs, strict=True)
    added = [whole - start for whole, start in zip(help_, python_start, strict=True)]
    html = folder / "stored" / "page" / "report.html"
    size = f"{html.stat().st_size / 1e6:.1f} MB"
    memory = {
        name: f"{median(result.peak_mb for result in results[name]):.0f} MB" for name in results
    }
    start = f"`python -c pass`, {median(python_start):.3f} s"
    return [
        Row("`nstbench --help`", start, "+0.3 s", "+0.15 s", spread(added, "s", 3)),
        Row(f"`nstbench plan`, {planned:,} cells, no records", memory["plan without records"],
            "2 s", "1 s", spread(without, "s")),
        Row(f"`nstbench plan`, {planned:,} cells, all stored", memory["plan with records"],
            "2 s", "1 s", spread(with_, "s")),
        Row(f"`nstbench report`, {shown:,} cells", f"{size} page, {memory['report']}", "15 s",
            "7.5 s", spread(report, "s")),
    ]  # fmt: skip


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--seeds",
        type=int,
        default=10,
        help="`plan` gets 1,000 cells per seed, the page 200 per two seeds; default: %(default)s",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(table(compare(Path(folder), options.rounds, options.seeds)))


if __name__ == "__main__":
    main()
