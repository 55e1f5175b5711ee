"""Runs that are killed at random times lose no result and repeat no cell."""

from __future__ import annotations

import json
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.execution.context import derive_seed
from tests.helpers.faults.faulty_runs import SLOW, Bench, site

__all__ = ["site"]


ORPHAN = re.compile(
    r'Traceback[^\n]*\n  File "<string>", line 1, in <module>\n(?:  [^\n]*\n)*?'
    r"  [^\n]*, in spawn_main\n(?:  [^\n]*\n)*?  [^\n]*, in _main\n(?:  [^\n]*\n)*EOFError: .*"
)
"""Traceback that Python prints if a process is killed between the start of its worker and the
transfer of the worker's arguments, about once in 300 kills. No process is left to catch it."""


def finished(bench: Bench) -> dict[str, str]:
    """Return the image hash of every finished cell, by cell id."""
    return {r.cell.id: r.image_sha256 for r in bench.store.all_records() if r.ok}


def drawn_by(bench: Bench) -> dict[str, str]:
    """Return the line that each stored cell writes when it is stylized, by cell id."""
    cells = [record.cell for record in bench.store.all_records() if record.ok]
    return {c.id: str(derive_seed(c.seed, c.content.name, c.style.name)) for c in cells}


def kill_at_random(
    bench: Bench, kills: int, max_seconds: float, rng: random.Random
) -> Counter[str]:
    """Start and kill runs, each within `max_seconds` seconds; count losses and repetitions."""
    found: Counter[str] = Counter()
    for number in range(kills):
        before, marks, lines = finished(bench), drawn_by(bench), len(bench.done())
        process = bench.start()
        time.sleep(rng.uniform(0.5, 3.0) if number % 4 == 0 else rng.uniform(3.0, max_seconds))
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        _, stderr = process.communicate()
        after = finished(bench)  # reads every record; an incomplete one would raise
        again = set(bench.done()[lines:])
        if "Traceback" in ORPHAN.sub("", stderr):
            found["tracebacks"] += 1
            print(stderr)
        found["lost"] += sum(after.get(cell) != pixels for cell, pixels in before.items())
        found["repeated"] += sum(marks[cell] in again for cell in before)
        found["finished before the kill"] += process.returncode in (0, 3)
    return found


def kill_and_compare(
    folder: Path, site: Path, cells: int, kills: int, max_seconds: float
) -> Counter[str]:
    """Kill runs of a suite, let it finish, and compare with an undisturbed run."""
    for name in ("killed", "undisturbed"):
        (folder / name).mkdir()
    numbers = list(range(cells))
    killed, undisturbed = (
        Bench(folder / name, site, SLOW.format(seconds=0.3, folder=folder / name),
              seeds=json.dumps(numbers))
        for name in ("killed", "undisturbed")
    )  # fmt: skip
    found = kill_at_random(killed, kills, max_seconds, random.Random(0))
    killed.run()
    undisturbed.run()
    pixels_of_killed, expected = (
        {r.cell.seed: r.image_sha256 for r in b.store.all_records()} for b in (killed, undisturbed)
    )
    found["missing in the end"] = len(expected.keys() - pixels_of_killed.keys())
    found["other pixels"] = sum(
        pixels_of_killed[seed] != expected[seed] for seed in pixels_of_killed
    )
    return found


NOTHING_WRONG = {
    "tracebacks": 0, "lost": 0, "repeated": 0, "missing in the end": 0, "other pixels": 0
}  # fmt: skip


def test_killed_runs_lose_no_result_and_repeat_no_cell(tmp_path: Path, site: Path) -> None:
    found = kill_and_compare(tmp_path, site, cells=4, kills=2, max_seconds=5.0)
    assert {what: found[what] for what in NOTHING_WRONG} == NOTHING_WRONG


@pytest.mark.slow
def test_two_hundred_kills_lose_no_result_and_repeat_no_cell(tmp_path: Path, site: Path) -> None:
    found: Counter[str] = Counter()
    for part in range(10):  # twenty kills finish about sixty cells; then a new suite
        (tmp_path / str(part)).mkdir()
        found += kill_and_compare(tmp_path / str(part), site, cells=60, kills=20, max_seconds=9.0)
    print(dict(found))
    assert {what: found[what] for what in NOTHING_WRONG} == NOTHING_WRONG
