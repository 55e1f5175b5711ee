"""What makes a time no more than a hint."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.execution.machine import background_load
from harness.execution.machine.background_load import BackgroundLoad, unsteady

STAT = "cpu  {user} 0 {system} 90000 500 0 0 {stolen} 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n"


def write(path: Path, user: int = 0, system: int = 0, stolen: int = 0) -> None:
    path.write_text(STAT.format(user=user, system=system, stolen=stolen))


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "stat"
    write(path)
    monkeypatch.setattr(background_load, "PROC_STAT", path)
    monkeypatch.setattr(background_load.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(background_load.os, "sysconf", lambda name: 100)
    return path


def at(monkeypatch: pytest.MonkeyPatch, wall: float, own: float) -> None:
    monkeypatch.setattr(background_load.time, "perf_counter", lambda: wall)
    monkeypatch.setattr(background_load.time, "process_time", lambda: own)


def test_the_work_of_others_is_what_the_machine_did_less_our_own(
    stat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, wall=100.0, own=7.0)
    others = BackgroundLoad(threads=2)
    write(stat, user=2500, system=200, stolen=300)  # 30 s of cores in ticks of a hundredth
    at(monkeypatch, wall=110.0, own=22.0)  # 15 s of them ours, in 10 s
    assert others.busy_cores() == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("busy", "threads", "told"),
    [
        (1.9, 2, False),  # 1.9 of others and 2 of ours fit on 4 cores
        (2.1, 2, False),  # within what is tolerated
        (2.5, 2, True),
        (0.5, 4, True),
        (0.1, 8, False),  # more threads than cores: as many as there are
        (None, 2, False),  # the system does not tell
    ],
)
def test_others_are_in_the_way_where_cores_do_not_suffice_for_all(
    busy: float | None, threads: int, told: bool, stat: Path
) -> None:
    complaint = BackgroundLoad(threads).complaint(busy)
    assert bool(complaint) is told
    if told:
        assert complaint == f"other processes kept {busy:.1f} of 4 cores busy"


def test_of_what_is_over_at_once_nothing_is_said(
    stat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 30 ticks in a tenth of a second: the system's clock is no finer.
    at(monkeypatch, wall=100.0, own=7.0)
    others = BackgroundLoad(threads=2)
    write(stat, user=30)
    at(monkeypatch, wall=100.1, own=7.0)
    assert others.busy_cores() is None


def test_a_system_that_does_not_tell_is_not_blamed(
    stat: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(background_load, "PROC_STAT", tmp_path / "none")
    assert BackgroundLoad(1).busy_cores() is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/stat is Linux's")
def test_a_process_that_works_beside_us_is_seen() -> None:
    quiet = BackgroundLoad(1)
    time.sleep(0.5)
    before = quiet.busy_cores()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(0.2)
        others = BackgroundLoad(1)
        time.sleep(1.0)
        seen = others.busy_cores()
        busy.kill()
    assert before is not None
    assert seen is not None
    # How much of a core it got is the machine's affair; that it did not sleep is not.
    assert seen > 0.2


def test_passes_that_differ_are_told() -> None:
    assert unsteady((95.0, 100.0, 110.0)) == ""
    assert unsteady((90.0, 100.0, 140.0)) == "half of the passes differ by 50%"
    assert unsteady(None) == ""
