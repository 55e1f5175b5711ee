"""Each record has one closed run in MLflow, whatever happened before."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from harness.store import Store
from harness.tracking.tracker import Tracker
from tests.helpers.tracking.tracked_store import (
    CELLS,
    SUMMARY,
    TRACKING,
    assert_exactly_once,
    python,
    runs,
    send_store,
    sha256,
    sync,
)  # fmt: skip

STUCK = """
import time, mlflow
def log_batch(*_, **__):
    print("stuck", flush=True)
    time.sleep(600)
mlflow.MlflowClient.log_batch = log_batch
"""


@pytest.fixture(scope="module")
def stuck_process() -> Iterator[subprocess.Popen[str]]:
    """A process that hangs while it sends a record; shared, because its imports take long."""
    with python(STUCK + TRACKING) as process:
        yield process


def test_open_runs_of_crashed_processes_are_replaced_and_those_of_running_ones_stay(
    stuck_process: subprocess.Popen[str], store: Store, uri: str
) -> None:
    send_store(stuck_process, store, uri)
    assert stuck_process.stdout is not None
    assert [stuck_process.stdout.readline() for _ in range(2)] == ["ready\n", "stuck\n"]
    Tracker(store, uri)
    assert [run.info.status for run in runs(uri)] == ["RUNNING"]
    stuck_process.kill()
    stuck_process.wait()
    Tracker(store, uri)
    (killed,) = runs(uri)
    assert killed.info.status == "KILLED"
    assert killed.info.end_time
    assert sync(store, uri) == CELLS + SUMMARY
    assert_exactly_once(uri, store, store.all_records())


def test_an_open_run_of_another_machine_is_closed_after_an_hour(store: Store, uri: str) -> None:
    experiment = Tracker(store, uri).cells
    tags = {"nst.key": "x", "nst.host": "elsewhere", "nst.pid": "1"}
    client = MlflowClient(tracking_uri=uri)
    for minutes in (59, 61):
        start = {"nst.begun": str(round(time.time()) - 60 * minutes)}
        client.create_run(experiment, tags=tags | start, run_name=str(minutes))
    Tracker(store, uri)
    found = {run.info.run_name: run.info.status for run in runs(uri)}
    assert found == {"59": "RUNNING", "61": "KILLED"}


def test_requests_repeated_after_a_lost_response_leave_no_duplicates(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("create_experiment", "create_run", "log_batch", "delete_run", "set_terminated"):
        monkeypatch.setattr(MlflowClient, name, twice(getattr(MlflowClient, name)))
    assert sync(store, uri) == CELLS + SUMMARY
    assert_exactly_once(uri, store, store.all_records())
    assert sync(store, uri) == 0


def twice(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `call` twice, as MLflow does after a lost response."""

    def done(*args: Any, **options: Any) -> Any:
        call(*args, **options)
        return call(*args, **options)

    return done


def test_sync_keeps_one_run_per_record_after_two_trackers_sent_a_store(
    store: Store, uri: str
) -> None:
    trackers = [Tracker(store, uri) for _ in range(2)]  # neither knows the runs of the other
    for tracker in trackers:
        for each in store.all_records():
            tracker.cell(each)
    assert len(runs(uri)) == 2 * CELLS
    assert sync(store, uri) == SUMMARY
    assert_exactly_once(uri, store, store.all_records())


def test_a_complete_run_that_is_still_open_is_closed(store: Store, uri: str) -> None:
    sync(store, uri)
    (run, *_) = runs(uri)
    MlflowClient(tracking_uri=uri).update_run(run.info.run_id, status="RUNNING")
    assert sync(store, uri) == 0
    assert {run.info.status for run in runs(uri)} == {"FINISHED"}


def test_sync_sends_runs_with_missing_files_again_and_then_changes_nothing(
    store: Store, uri: str, tmp_path: Path
) -> None:
    sync(store, uri)
    curves = sorted((tmp_path / "artifacts" / "s").rglob("trace.csv"))
    curves[0].unlink()
    curves[1].write_bytes(curves[1].read_bytes()[:-1])
    shutil.rmtree(curves[2].parent)
    assert Tracker(store, uri)._known  # without `verify`, files are not listed
    assert sync(store, uri) == 3
    assert_exactly_once(uri, store, store.all_records())
    before = {path: sha256(path) for path in tmp_path.rglob("*") if path.is_file()}
    assert sync(store, uri) == 0
    assert before == {path: sha256(path) for path in tmp_path.rglob("*") if path.is_file()}
