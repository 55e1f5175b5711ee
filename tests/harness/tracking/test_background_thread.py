"""The tracker in a background thread, with a real database."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from PIL import Image as Pillow

from harness.errors import TrackingError
from harness.records import Record, TracePoint
from harness.resources.images import read, to_png
from harness.store import Store
from harness.tracking import background_thread, saved_views
from harness.tracking import tracker as tracking
from harness.tracking.background_thread import BackgroundTracker
from harness.tracking.run_payload import RunPayload
from tests.helpers.tracking.tracked_store import record, run_of, runs


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Five records with images and curves."""
    import numpy as np

    store = Store(tmp_path, "s")
    png = to_png(np.zeros((20, 30, 3), np.uint8))
    trace = [TracePoint("stylize", i, 0.1 * i, {"total": 1 / i}) for i in range(1, 1500)]
    for seed in range(5):
        store.write(record(seed), png, trace, dict.fromkeys((1, 2, 5, 10, 20, 50, 100), png))
    return store


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def finish(tracker: BackgroundTracker, store: Store) -> None:
    page = store.write_report("<html></html>")
    tracker.summary(run_of(store), [record(seed) for seed in range(5)], [page])


def test_cells_do_not_wait_for_mlflow_and_all_runs_are_sent_in_the_end(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, connect = threading.Event(), tracking.connect
    monkeypatch.setattr(tracking, "connect", lambda uri: (gate.wait(60), connect(uri))[1])
    tracker = BackgroundTracker(store, uri, pytest.fail)
    for seed in range(5):
        tracker.cell(record(seed))
    assert tracker.pending == 5  # MLflow has not been reached yet
    gate.set()
    finish(tracker, store)
    assert tracker.working
    found = runs(uri)
    assert {run.data.params["seed"] for run in found} == set("01234")
    assert all(run.data.tags["nst.record"] for run in found)
    assert {run.info.status for run in found} == {"FINISHED"}
    assert len(runs(uri, "s-summary")) == 2
    client = MlflowClient(tracking_uri=uri)
    assert len(client.get_metric_history(found[0].info.run_id, "loss/total")) == 200


def test_the_summary_sends_what_earlier_runs_did_not_and_counts_it(store: Store, uri: str) -> None:
    first = BackgroundTracker(store, uri, pytest.fail)
    first.cell(record(0))
    finish(first, store)
    assert first.completed == 4
    assert len(runs(uri)) == 5
    before = {run.info.run_id for run in runs(uri)}
    second = BackgroundTracker(store, uri, pytest.fail)
    finish(second, store)
    assert second.completed == 0
    assert {run.info.run_id for run in runs(uri)} == before


def test_a_tracking_error_is_reported_once_and_does_not_end_the_run(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    warned = threading.Event()
    monkeypatch.setattr(background_thread, "MAX_PENDING", 2)

    def fail(self: Any, record: Record) -> None:
        raise background_thread.TrackingError("MLflow at x: the disk is full")

    monkeypatch.setattr(tracking.Tracker, "cell", fail)
    tracker = BackgroundTracker(store, uri, lambda text: (warnings.append(text), warned.set())[0])
    for seed in (*range(5), *range(5)):  # more than the queue holds, and `cell` does not block
        tracker.cell(record(seed))
    assert warned.wait(60)
    finish(tracker, store)
    assert not tracker.working
    assert len(warnings) == 1
    assert "the disk is full" in warnings[0]
    assert "nstbench sync" in warnings[0]


def test_other_exceptions_are_raised(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking.Tracker, "cell", lambda self, record: 1 / 0)
    tracker = BackgroundTracker(store, uri, pytest.fail)
    tracker.cell(record(0))
    with pytest.raises(ZeroDivisionError):
        finish(tracker, store)


def test_stop_drops_pending_records_and_sync_sends_them(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = threading.Event(), threading.Event()
    original = tracking.Tracker.cell

    def slow(self: tracking.Tracker, record: Record) -> None:
        started.set()
        go_on.wait(60)
        original(self, record)

    monkeypatch.setattr(tracking.Tracker, "cell", slow)
    monkeypatch.setattr(background_thread, "STOP_SECONDS", 60.0)  # for a busy machine
    tracker = BackgroundTracker(store, uri, pytest.fail)
    for seed in range(5):
        tracker.cell(record(seed))
    assert started.wait(60)
    threading.Timer(0.2, go_on.set).start()
    assert tracker.stop() == 4
    assert [run.data.params["seed"] for run in runs(uri)] == ["0"]  # the record that was being sent
    monkeypatch.setattr(tracking.Tracker, "cell", original)
    again = tracking.Tracker(store, uri)
    for seed in range(5):
        again.cell(record(seed))
    assert sorted(run.data.params["seed"] for run in runs(uri)) == list("01234")


def test_a_server_that_hangs_does_not_delay_stop(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, over = threading.Event(), threading.Event()
    monkeypatch.setattr(background_thread, "STOP_SECONDS", 0.1)
    monkeypatch.setattr(
        tracking.Tracker, "cell", lambda self, record: (started.set(), over.wait(60))
    )
    tracker = BackgroundTracker(store, uri, pytest.fail)
    tracker.cell(record(0))
    assert started.wait(60)
    assert tracker.stop() == 1  # counted as not sent, since its outcome is unknown
    assert not tracker.working
    over.set()


def test_an_empty_uri_turns_tracking_off(store: Store) -> None:
    tracker = BackgroundTracker(store, "", pytest.fail)
    tracker.cell(record(0))
    finish(tracker, store)
    assert not tracker.working


def test_images_have_the_same_names_and_previews_as_those_of_mlflow(
    uri: str, tmp_path: Path
) -> None:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("x", artifact_location=(tmp_path / "a").as_uri())
    run_id = client.create_run(experiment).info.run_id
    picture = Pillow.new("RGB", (300, 200), "red")
    client.log_image(run_id, picture, key="coffee--wave", step=3)
    reference = [Path(file.path) for file in client.list_artifacts(run_id, "images")]
    payload = RunPayload(tmp_path / "payload")
    payload.folder.mkdir()
    payload.image(picture, "coffee--wave", 3)
    own = list((payload.folder / "images").iterdir())

    def shape(path: Path) -> tuple[str, ...]:
        key, step, number, timestamp, _, _, *rest = path.name.split("+")
        return (key, step, number, timestamp, *rest, path.suffix)

    assert sorted(map(shape, own)) == sorted(map(shape, reference))
    assert payload.tags.items() <= client.get_run(run_id).data.tags.items()

    def sizes(folder: Path) -> list[tuple[int, int]]:
        return [read(path).size for path in sorted(folder.iterdir(), key=lambda p: p.suffix)]

    assert sizes(payload.folder / "images") == sizes(
        tmp_path / "a" / run_id / "artifacts" / "images"
    )


def test_more_metrics_than_one_call_allows_are_all_sent(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "BATCH", 70)
    tracking.Tracker(store, uri).cell(record(0))
    (run,) = runs(uri)
    history = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, "loss/total")
    assert len(history) == 200
    assert run.data.params["a"] == "1"


def test_cells_wait_for_the_connection_but_not_if_it_fails(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = BackgroundTracker(store, uri, pytest.fail)
    tracker.wait_until_connected()
    assert {experiment.name for experiment in MlflowClient(uri).search_experiments()} >= {"s"}
    tracker.stop()
    without_tracking = BackgroundTracker(store, "", pytest.fail)
    without_tracking.wait_until_connected()  # returns immediately
    warnings: list[str] = []

    def refused(uri: str) -> MlflowClient:
        raise TrackingError(f"{uri} does not answer.")

    monkeypatch.setattr(tracking, "connect", refused)
    broken = BackgroundTracker(store, uri, warnings.append)
    broken.wait_until_connected()
    broken.stop()
    assert len(warnings) == 1


def test_the_image_grid_of_a_cell_covers_its_first_to_its_last_pass(store: Store, uri: str) -> None:
    tracker = BackgroundTracker(store, uri, pytest.fail)
    tracker.cell(record(0))
    finish(tracker, store)
    client = MlflowClient(tracking_uri=uri)
    names = [
        Path(item.path).name for item in client.list_artifacts(runs(uri)[0].info.run_id, "images")
    ]
    keys = {tuple(name.split("+")[:3]) for name in names}
    # Four of the seven stored images, from the first to the last, and the result of 1499 passes.
    assert keys == {("stylized", "step", step) for step in ("1", "5", "20", "100", "1499")}


def test_errors_while_writing_views_are_logged_and_new_views_replace_only_ours(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise TrackingError("no tags today")

    def views(experiment: str) -> dict[str, str]:
        tags = client.get_experiment_by_name(experiment).tags.items()
        prefix = saved_views.TAG
        return {k.removeprefix(prefix): json.loads(v)["name"] for k, v in tags if prefix in k}

    def send() -> None:
        tracker = BackgroundTracker(store, uri, pytest.fail)
        finish(tracker, store)
        assert tracker.working

    with monkeypatch.context() as broken, caplog.at_level(logging.DEBUG, logger="harness"):
        broken.setattr(MlflowClient, "set_experiment_tag", refuse)
        send()
    client = MlflowClient(tracking_uri=uri)
    # One run of the variant, and one of the page, which is sent after the views.
    assert len(runs(uri, "s-summary")) == 2
    (message,) = [entry for entry in caplog.records if entry.name.startswith("harness")]
    assert message.levelno == logging.DEBUG
    assert "no tags today" in str(message.exc_info)
    assert views("s") == views("s-summary") == {}

    summary = client.get_experiment_by_name("s-summary").experiment_id
    for key in ("1795", "nst-pairs-4"):  # a view of a user, and one of nstbench for more variants
        tag = json.dumps({"name": "by hand", "createdAt": 1, "state": "{}"})
        client.set_experiment_tag(summary, saved_views.TAG + key, tag)
    for _ in range(2):
        send()
        assert views("s") == {"nst-by-variant": "By variant"}
        assert views("s-summary") == {"nst-pairs": "Pairs × variants", "1795": "by hand"}
