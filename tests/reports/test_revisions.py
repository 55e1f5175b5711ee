"""Names of earlier runs, such as `artists~1`, and pages about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.records import Run
from harness.store import Store, revisions
from tests.helpers.command_line import nstbench
from tests.helpers.report_page import ENCODER, cell, record, store_of
from tests.reports.test_merged_runs import CLAIM, two_runs


def run_of(started: str, *ids: str, **changes: Any) -> Run:
    facts: dict[str, Any] = {"reused": 0, "finished": True, **changes}
    return Run("s", "", "", ids, (), ("ssim",), ENCODER, "cpu", "float32", started=started, **facts)


def test_the_history_contains_the_runs_that_can_be_reported(tmp_path: Path) -> None:
    store = Store(tmp_path, "s")

    def starts() -> list[str]:
        return [run.started for run in store.revisions()]

    store.write_suite("first")
    store.write_run(run_of("2026-11-01T10:00:00+00:00", "a", finished=False))
    store.write_run(run_of("2026-11-02T10:00:00+00:00", "a", reused=0))  # continues after Ctrl-C
    assert starts() == ["2026-11-02T10:00:00+00:00"]
    store.write_run(run_of("2026-11-03T10:00:00+00:00", "a", reused=1))  # reuses all cells
    assert starts() == ["2026-11-02T10:00:00+00:00"]
    assert store.run().started == "2026-11-03T10:00:00+00:00"
    store.write_suite("second")
    store.write_run(run_of("2026-11-04T10:00:00+00:00", "b"))
    store.write_run(run_of("2026-11-05T10:00:00+00:00", "a", reused=1))  # the plan of the first run
    assert starts() == [f"2026-11-0{day}T10:00:00+00:00" for day in (2, 4, 5)]
    first, second, _ = store.revisions()
    assert (store.at(first).suite_text(), store.at(second).suite_text()) == ("first", "second")
    assert store.at(first).run() == first
    store.write_run(run_of("2026-11-06T10:00:00+00:00", "a", claims=(CLAIM,), reused=1))
    assert starts()[-1] == "2026-11-06T10:00:00+00:00"  # has different claims


def test_a_store_without_history_files_still_lists_its_run(tmp_path: Path) -> None:
    store = Store(tmp_path, "s")
    store.write_run(run_of("2026-11-01T10:00:00+00:00", "a"))
    for path in store.root.glob("history/*"):
        path.unlink()
    assert [run.cells for run in store.revisions()] == [("a",)]
    store.write_run(run_of("2026-11-02T10:00:00+00:00", "b"))
    assert [run.cells for run in store.revisions()] == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("artists~0", 20), ("artists~1", 19), ("artists.yaml~1", 19), ("artists@2026-11-19", 19),
        ("artists@2026-11-20", 20), ("artists@2026-11", 20), ("artists@2026-11-20T23:58", 19),
        ("artists@2026-11-20T23:59:59+00:00", 20), ("artists@2027", 20),
    ],
)  # fmt: skip
def test_an_earlier_run_is_selected_by_number_or_date(tmp_path: Path, name: str, day: int) -> None:
    two_runs(tmp_path)
    assert revisions.find(name, tmp_path).store.run().started.startswith(f"2026-11-{day}")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("artists~2", "artists~2: there are not that many runs"),
        ("artists@2026-11-18", "artists@2026-11-18: no run started by 2026-11-18"),
    ],
)
def test_an_unknown_run_lists_the_available_ones(tmp_path: Path, name: str, reason: str) -> None:
    two_runs(tmp_path)
    with pytest.raises(UsageError) as caught:
        revisions.find(name, tmp_path)
    assert str(caught.value) == (
        f"{reason}. Available runs:\n"
        "    artists    artists@2026-11-20T23:59:59\n"
        "    artists~1  artists@2026-11-19T08:00:00"
    )


@pytest.mark.parametrize("name", ["artists~x", "artists@yesterday", "artists@2026-1", "artists@"])
def test_an_invalid_run_name_explains_the_format(tmp_path: Path, name: str) -> None:
    two_runs(tmp_path)
    with pytest.raises(UsageError, match=r"[~@] needs .*, as in suite[~@]"):
        revisions.find(name, tmp_path)


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    two_runs(tmp_path)
    with pytest.raises(UsageError, match=r"artists and artists@2026-11-20 are the same run"):
        revisions.find_all(["artists", "artists@2026-11-20"], tmp_path)


def test_the_report_command_accepts_suites_earlier_runs_and_folders(tmp_path: Path) -> None:
    two_runs(tmp_path / "runs")
    old = store_of(tmp_path / "old", [record(cell("johnson"), ssim=0.9)]).root
    done = nstbench("report", "artists~1", "artists", old, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    written = Path(done.stdout.strip())
    assert written == tmp_path / "runs" / "artists~1+artists+old-artists.html"
    assert "<h1>artists~1 + artists + old/artists</h1>" in written.read_text(encoding="utf-8")
    assert not (tmp_path / "runs" / "artists" / "report.html").exists()
    alone = nstbench("report", "artists~1", "--folder", "--out", tmp_path / "runs")
    assert alone.stdout.strip() == str(tmp_path / "runs" / "artists~1" / "index.html")
    assert list((tmp_path / "runs" / "artists~1" / "images").glob("*.png"))
    wrong = nstbench("report", "artists~7", "--out", tmp_path / "runs")
    assert (wrong.returncode, wrong.stdout) == (2, "")
