"""Crashes, time-outs, Ctrl-C and kills of real processes lose no finished result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.store.lock import lock_suite
from tests.helpers.faults.faulty_runs import ROOT, SLOW, Bench, site

__all__ = ["site"]


WAYS = {
    "well": "done",
    "raises": "failed",
    "leaves": "failed",
    "returns nan": "failed",
    "allocates": "out_of_memory",
    "prints": "done",
    "leaves threads": "done",
    "segfaults": "crashed",
    "crashes once": "done",
    "vanishes": "crashed",
    "sleeps": "timeout",
}


def test_a_faulty_method_affects_no_cell_but_its_own(tmp_path: Path, site: Path) -> None:
    ways = json.dumps(["well", *(way for way in WAYS if way != "well")])
    methods = f"  trouble: {{params: {{folder: {tmp_path}}}, axes: {{way: {ways}}}}}\n  identity:\n"
    bench = Bench(tmp_path, site, methods)
    output = bench.run("--timeout", "10", code=3)
    found = bench.records()
    assert {way: found[f"{way} coffee"].status for way in WAYS} == WAYS
    assert found["None coffee"].status == "done"  # identity, the last cell
    assert "look at me" not in output  # the terminal shows the progress display

    def why(way: str) -> str:
        record = found[f"{way} coffee"]
        return " ".join([record.failure.message if record.failure else "", *record.notes])

    assert "no such brush" in why("raises")
    assert "did not end within 10 s" in why("sleeps")
    assert "SIGSEGV" in why("segfaults")
    assert "exit code 0" in why("vanishes")
    assert why("prints").strip().startswith("printed: look at me")
    assert why("leaves threads").strip() == "left threads running: idler"
    assert "SIGSEGV" in (bench.store.root / "report.html").read_text(encoding="utf-8")
    segfault = found["segfaults coffee"]
    assert segfault.failure is not None
    # The worker's log has the position of the fault.
    assert "trouble.py" in segfault.failure.traceback
    # A cell that crashes or runs out of memory runs once more; its record has all attempts.
    assert [a.kind for a in segfault.attempts] == ["Crashed"]
    assert [a.kind for a in found["crashes once coffee"].attempts] == ["Crashed"]
    assert [a.kind for a in found["allocates coffee"].attempts] == ["MemoryError"]
    assert found["sleeps coffee"].attempts == ()


def test_a_hanging_fit_is_tried_for_one_content_only(tmp_path: Path, site: Path) -> None:
    contents = "{coffee: {builtin: coffee}, camera: {builtin: camera}, moon: {builtin: moon}}"
    methods = "  trouble: {params: {way: sleeps in fit}}\n  identity:\n"
    bench = Bench(tmp_path, site, methods, contents=contents)
    bench.run("--timeout", "2", code=3)
    found = bench.records()
    assert [found[f"sleeps in fit {c}"].status for c in ("coffee", "camera", "moon")] == [
        "timeout", "failed", "failed"
    ]  # fmt: skip
    untried = found["sleeps in fit moon"].failure
    assert untried is not None
    assert "Its fit ended in timeout for trouble/coffee--grass/s0" in untried.message
    assert [found[f"None {c}"].status for c in ("coffee", "camera", "moon")] == ["done"] * 3


@pytest.mark.parametrize(
    ("limit", "left"),
    [(["--max-failures", "50%"], 3), pytest.param(["--fail-fast"], 5, marks=pytest.mark.slow)],
)
def test_a_run_ends_after_too_many_failed_cells(
    tmp_path: Path, site: Path, limit: list[str], left: int
) -> None:
    bench = Bench(tmp_path, site, "  trouble: {params: {way: raises}}\n", seeds="[0,1,2,3,4,5]")
    output = bench.run(*limit, code=3)
    assert f"The run ends: {6 - left} cells failed" in output
    # The worker may be up to two cells ahead; they are completed.
    assert 6 - left <= len(list(bench.store.records(bench.store.run()))) <= 8 - left


def test_ctrl_c_completes_the_running_cell_and_a_second_one_ends_it(
    tmp_path: Path, site: Path
) -> None:
    methods = SLOW.format(seconds=1.5, folder=tmp_path)
    bench = Bench(tmp_path, site, methods, seeds="[0,1,2,3]")
    process = bench.start()
    bench.wait_for(process, 1)
    time.sleep(0.5)  # the second cell runs
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout + stderr
    assert "stopping after this cell" in stdout
    assert "To continue, run the same command again" in stdout
    assert "Traceback" not in stderr
    assert len(bench.done()) == 2
    assert [r.status for r in bench.store.all_records()] == ["done"] * 2
    assert (bench.store.root / "report.html").exists()

    process = bench.start()
    bench.wait_for(process, 3)
    time.sleep(0.5)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(bench.done()) == 3
    statuses = Counter(record.status for record in bench.store.all_records())
    assert statuses == {"done": 3, "interrupted": 1}
    assert "1 to run, 3 reused" in bench.run()
    assert Counter(r.status for r in bench.store.all_records()) == {"done": 4}


def test_the_worker_ends_when_its_parent_is_killed(tmp_path: Path, site: Path) -> None:
    bench = Bench(tmp_path, site, SLOW.format(seconds=2, folder=tmp_path), seeds="[0,1,2,3]")
    process = bench.start()
    bench.wait_for(process, 1)
    group = os.getpgid(process.pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 10
    while alive(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(group) == []
    finished = len(bench.done())
    time.sleep(2)
    assert len(bench.done()) == finished


def alive(group: int) -> list[str]:
    """Return the running processes of a group."""
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    )
    rows = (line.split(None, 2) for line in listed.stdout.splitlines())
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_concurrent_runs_run_each_cell_once(tmp_path: Path, site: Path, count: int) -> None:
    # A faster stylization is repeated to measure its time.
    methods = SLOW.format(seconds=1.1, folder=tmp_path)
    bench = Bench(tmp_path, site, methods, seeds="[0,1,2,3]")
    processes = [bench.start() for _ in range(count)]
    outputs = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, outputs
    waited = [out for out, _ in outputs if "runs this suite" in out]
    assert len(waited) == count - 1
    assert all("0 to run, 4 reused" in out for out in waited)
    assert len(bench.done()) == 4


HOLDS_THE_LOCK = """
import os, signal, sys
from pathlib import Path
from harness.store.lock import lock_suite
with lock_suite(Path(sys.argv[1]), print):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(tmp_path)]
    subprocess.run(command, check=False, cwd=ROOT)
    assert (tmp_path / ".holder").exists()
    with lock_suite(tmp_path, on_wait=pytest.fail) as waited:
        assert not waited
