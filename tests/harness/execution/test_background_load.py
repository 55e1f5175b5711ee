"""Times are marked as noisy if other processes use the cores."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.execution.machine import background_load
from harness.execution.machine.background_load import BackgroundLoad, spread_warning

STAT = "cpu  {user} 0 {system} 90000 500 0 0 {stolen} 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\n"

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc/stat exists on Linux only")


def write(path: Path, user: int = 0, system: int = 0, stolen: int = 0) -> None:
    path.write_text(STAT.format(user=user, system=system, stolen=stolen))


@pytest.fixture
def stat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that psutil reads instead of /proc/stat, on a machine with four cores."""
    path = tmp_path / "stat"
    write(path)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path), raising=False)
    monkeypatch.setattr(background_load.os, "cpu_count", lambda: 4)
    return path


def set_clocks(monkeypatch: pytest.MonkeyPatch, wall: float, own: float) -> None:
    monkeypatch.setattr(background_load.time, "perf_counter", lambda: wall)
    monkeypatch.setattr(background_load.time, "process_time", lambda: own)


@linux
def test_background_load_is_the_work_of_the_machine_less_that_of_this_process(
    stat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clocks(monkeypatch, wall=100.0, own=7.0)
    load = BackgroundLoad(threads=2)
    write(stat, user=2500, system=200, stolen=300)  # 30 core-seconds, in ticks of 0.01 s
    set_clocks(monkeypatch, wall=110.0, own=22.0)  # this process used 15 of them
    assert load.busy_cores() == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("busy", "threads", "warns"),
    [
        (1.9, 2, False),  # 1.9 busy cores and 2 threads fit on 4 cores
        (2.1, 2, False),  # within the tolerance
        (2.5, 2, True),
        (0.5, 4, True),
        (0.1, 8, False),  # threads beyond the number of cores do not count
        (None, 2, False),  # unknown
    ],
)
def test_a_warning_is_given_if_the_cores_do_not_suffice(
    busy: float | None, threads: int, warns: bool, stat: Path
) -> None:
    warning = BackgroundLoad(threads).warning(busy)
    assert bool(warning) is warns
    if warns:
        assert warning == f"other processes kept {busy:.1f} of 4 cores busy"


def test_the_load_of_a_short_interval_is_unknown(
    stat: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock of the system is too coarse for 30 ticks in 0.1 s.
    set_clocks(monkeypatch, wall=100.0, own=7.0)
    load = BackgroundLoad(threads=2)
    write(stat, user=30)
    set_clocks(monkeypatch, wall=100.1, own=7.0)
    assert load.busy_cores() is None


@linux
def test_the_load_is_unknown_without_proc_stat(
    stat: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "none"))
    assert BackgroundLoad(1).busy_cores() is None


@linux
def test_another_busy_process_is_detected() -> None:
    idle_load = BackgroundLoad(1)
    time.sleep(0.5)
    before = idle_load.busy_cores()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        time.sleep(0.2)
        load = BackgroundLoad(1)
        time.sleep(1.0)
        with_busy_process = load.busy_cores()
        busy.kill()
    assert before is not None
    assert with_busy_process is not None
    # The share of a core that it got depends on the machine.
    assert with_busy_process > 0.2


def test_passes_of_different_length_are_reported() -> None:
    assert spread_warning((95.0, 100.0, 110.0)) == ""
    assert spread_warning((90.0, 100.0, 140.0)) == "half of the passes differ by 50%"
    assert spread_warning(None) == ""
