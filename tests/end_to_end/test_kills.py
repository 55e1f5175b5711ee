"""Runs that are killed at random moments lose nothing, and do nothing twice."""

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
from tests.helpers.faulty_runs import SLOW, Bench, site

__all__ = ["site"]


ORPHAN = re.compile(
    r'Traceback[^\n]*\n  File "<string>", line 1, in <module>\n(?:  [^\n]*\n)*?'
    r"  [^\n]*, in spawn_main\n(?:  [^\n]*\n)*?  [^\n]*, in _main\n(?:  [^\n]*\n)*EOFError: .*"
)
"""What Python itself prints where a process is killed in the millisecond between the birth of its
worker and telling it what to be: once in 300 kills. Nobody is left who could catch it."""


def finished(bench: Bench) -> dict[str, str]:
    """The pixels of every cell that is done."""
    return {r.cell.id: r.image_sha256 for r in bench.store.all_records() if r.ok}


def drawn_by(bench: Bench) -> dict[str, str]:
    """The mark that each stored cell leaves when it is stylized, by its id."""
    cells = [record.cell for record in bench.store.all_records() if record.ok]
    return {c.id: str(derive_seed(c.seed, c.content.name, c.style.name)) for c in cells}


def kill_at_random(bench: Bench, kills: int, latest: float, rng: random.Random) -> Counter[str]:
    """Kill runs within so many seconds, starting again each time; count what went wrong."""
    found: Counter[str] = Counter()
    for number in range(kills):
        before, marks, lines = finished(bench), drawn_by(bench), len(bench.done())
        process = bench.start()
        time.sleep(rng.uniform(0.5, 3.0) if number % 4 == 0 else rng.uniform(3.0, latest))
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        _, stderr = process.communicate()
        after = finished(bench)  # reads every record: one that is not whole would raise
        again = set(bench.done()[lines:])
        if "Traceback" in ORPHAN.sub("", stderr):
            found["tracebacks"] += 1
            print(stderr)
        found["lost"] += sum(after.get(cell) != pixels for cell, pixels in before.items())
        found["doubled"] += sum(marks[cell] in again for cell in before)
        found["finished by then"] += process.returncode in (0, 3)
    return found


def survives(folder: Path, site: Path, cells: int, kills: int, latest: float) -> Counter[str]:
    """Kill runs of a suite, let it end, and compare with a run that nothing happened to."""
    for name in ("broken", "whole"):
        (folder / name).mkdir()
    numbers = list(range(cells))
    broken, whole = (
        Bench(folder / name, site, SLOW.format(seconds=0.3, folder=folder / name),
              seeds=json.dumps(numbers))
        for name in ("broken", "whole")
    )  # fmt: skip
    found = kill_at_random(broken, kills, latest, random.Random(0))
    broken.run()
    whole.run()
    ours, theirs = (
        {r.cell.seed: r.image_sha256 for r in b.store.all_records()} for b in (broken, whole)
    )
    found["missing in the end"] = len(theirs.keys() - ours.keys())
    found["other pixels"] = sum(ours[seed] != theirs[seed] for seed in ours)
    return found


NOTHING_WRONG = {
    "tracebacks": 0, "lost": 0, "doubled": 0, "missing in the end": 0, "other pixels": 0
}  # fmt: skip


def test_killed_at_any_moment_nothing_is_lost_or_done_twice(tmp_path: Path, site: Path) -> None:
    found = survives(tmp_path, site, cells=4, kills=2, latest=5.0)
    assert {what: found[what] for what in NOTHING_WRONG} == NOTHING_WRONG


@pytest.mark.slow
def test_two_hundred_kills_over_sixty_cells(tmp_path: Path, site: Path) -> None:
    found: Counter[str] = Counter()
    for part in range(10):  # twenty kills finish about sixty cells; then anew
        (tmp_path / str(part)).mkdir()
        found += survives(tmp_path / str(part), site, cells=60, kills=20, latest=9.0)
    print(dict(found))
    assert {what: found[what] for what in NOTHING_WRONG} == NOTHING_WRONG
