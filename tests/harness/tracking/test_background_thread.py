"""MLflow in a thread of its own, on a real database."""

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
from harness.records import Cell, EncoderUse, ImageUse, Record, Run, Score, TracePoint
from harness.resources.images import read, to_png
from harness.store import Store
from harness.tracking import background_thread, saved_views
from harness.tracking import tracker as tracking
from harness.tracking.background_thread import Mirror
from harness.tracking.run_payload import RunPayload

ENCODER = EncoderUse("e", "w", "o")


def record(seed: int) -> Record:
    image = ImageUse("x", "sha", "here")
    cell = Cell(
        "s", "v", "v", "gatys", 1, {"a": 1}, {}, image, image, 64, seed, ENCODER, "float32", "cpu"
    )
    scores = (Score("ssim", 0.5, "", "higher", "pixels"),)
    return Record(cell, "done", scores, started="2026-01-01T00:00:00+00:00")


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


def runs(uri: str, experiment: str = "s") -> list[Any]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def run_of(store: Store) -> Run:
    cells = tuple(record(seed).cell.id for seed in range(5))
    return Run("s", "", "", cells, (), ("ssim",), ENCODER, "cpu", "float32")


def finish(mirror: Mirror, store: Store) -> None:
    page = store.write_report("<html></html>")
    mirror.summary(run_of(store), [record(seed) for seed in range(5)], [page])


def test_nothing_is_waited_for_and_all_is_there_in_the_end(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, connect = threading.Event(), tracking.connect
    monkeypatch.setattr(tracking, "connect", lambda uri: (gate.wait(60), connect(uri))[1])
    mirror = Mirror(store, uri, pytest.fail)
    for seed in range(5):
        mirror.cell(record(seed))
    assert mirror.waiting == 5  # MLflow has not been reached yet
    gate.set()
    finish(mirror, store)
    assert mirror.working
    found = runs(uri)
    assert {run.data.params["seed"] for run in found} == set("01234")
    assert all(run.data.tags["nst.record"] for run in found)
    assert {run.info.status for run in found} == {"FINISHED"}
    assert len(runs(uri, "s-summary")) == 2
    client = MlflowClient(tracking_uri=uri)
    assert len(client.get_metric_history(found[0].info.run_id, "loss/total")) == 200


def test_a_fault_is_told_once_and_takes_nothing_else_down(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    told = threading.Event()
    monkeypatch.setattr(background_thread, "MAX_WAITING", 2)

    def fail(self: Any, record: Record) -> None:
        raise background_thread.TrackingError("MLflow at x: the disk is full")

    monkeypatch.setattr(tracking.Tracker, "cell", fail)
    mirror = Mirror(store, uri, lambda text: (said.append(text), told.set())[0])
    for seed in (*range(5), *range(5)):  # more than may wait: whoever gives is not held up
        mirror.cell(record(seed))
    assert told.wait(60)
    finish(mirror, store)
    assert not mirror.working
    assert len(said) == 1
    assert "the disk is full" in said[0]
    assert "nstbench sync" in said[0]


def test_a_bug_is_not_taken_for_the_servers_fault(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking.Tracker, "cell", lambda self, record: 1 / 0)
    mirror = Mirror(store, uri, pytest.fail)
    mirror.cell(record(0))
    with pytest.raises(ZeroDivisionError):
        finish(mirror, store)


def test_after_ctrl_c_what_waits_is_left_out_and_sync_completes_it(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    honest = tracking.Tracker.cell

    def slow(self: tracking.Tracker, record: Record) -> None:
        begun.set()
        go_on.wait(60)
        honest(self, record)

    monkeypatch.setattr(tracking.Tracker, "cell", slow)
    mirror = Mirror(store, uri, pytest.fail)
    for seed in range(5):
        mirror.cell(record(seed))
    assert begun.wait(60)
    threading.Timer(0.2, go_on.set).start()
    assert mirror.stop() == 4
    assert [run.data.params["seed"] for run in runs(uri)] == ["0"]  # the one under way is whole
    monkeypatch.setattr(tracking.Tracker, "cell", honest)
    tracker = tracking.Tracker(store, uri)
    for seed in range(5):
        tracker.cell(record(seed))
    assert sorted(run.data.params["seed"] for run in runs(uri)) == list("01234")


def test_a_server_that_hangs_does_not_hold_up_ctrl_c(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, over = threading.Event(), threading.Event()
    monkeypatch.setattr(background_thread, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(tracking.Tracker, "cell", lambda self, record: (begun.set(), over.wait(60)))
    mirror = Mirror(store, uri, pytest.fail)
    mirror.cell(record(0))
    assert begun.wait(60)
    assert mirror.stop() == 1  # told as left out: nobody knows what became of it
    assert not mirror.working
    over.set()


def test_without_tracking_nothing_is_begun(store: Store) -> None:
    mirror = Mirror(store, "", pytest.fail)
    mirror.cell(record(0))
    finish(mirror, store)
    assert not mirror.working


def test_images_are_called_what_mlflow_itself_would_call_them(uri: str, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("x", artifact_location=(tmp_path / "a").as_uri())
    run_id = client.create_run(experiment).info.run_id
    picture = Pillow.new("RGB", (300, 200), "red")
    client.log_image(run_id, picture, key="coffee--wave", step=3)
    theirs = [Path(file.path) for file in client.list_artifacts(run_id, "images")]
    draft = RunPayload(tmp_path / "draft")
    draft.folder.mkdir()
    draft.image(picture, "coffee--wave", 3)
    ours = list((draft.folder / "images").iterdir())

    def shape(path: Path) -> tuple[str, ...]:
        key, step, number, timestamp, _, _, *rest = path.name.split("+")
        return (key, step, number, timestamp, *rest, path.suffix)

    assert sorted(map(shape, ours)) == sorted(map(shape, theirs))
    assert draft.tags.items() <= client.get_run(run_id).data.tags.items()

    def sizes(folder: Path) -> list[tuple[int, int]]:
        return [read(path).size for path in sorted(folder.iterdir(), key=lambda p: p.suffix)]

    assert sizes(draft.folder / "images") == sizes(tmp_path / "a" / run_id / "artifacts" / "images")


def test_more_points_than_one_call_takes_all_arrive(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "BATCH", 70)
    tracking.Tracker(store, uri).cell(record(0))
    (run,) = runs(uri)
    history = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, "loss/total")
    assert len(history) == 200
    assert run.data.params["a"] == "1"


def test_cells_wait_for_the_import_and_the_database_and_for_nothing_that_cannot_be_had(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Mirror(store, uri, pytest.fail)
    mirror.settle()
    assert {experiment.name for experiment in MlflowClient(uri).search_experiments()} >= {"s"}
    mirror.stop()
    Mirror(store, "", pytest.fail).settle()  # nothing is tracked: it returns at once
    told: list[str] = []

    def refused(uri: str) -> MlflowClient:
        raise TrackingError(f"{uri} does not answer.")

    monkeypatch.setattr(tracking, "connect", refused)
    broken = Mirror(store, uri, told.append)
    broken.settle()
    broken.stop()
    assert len(told) == 1


def test_the_image_grid_of_a_cell_slides_from_its_first_pass_to_its_last(
    store: Store, uri: str
) -> None:
    mirror = Mirror(store, uri, pytest.fail)
    mirror.cell(record(0))
    finish(mirror, store)
    client = MlflowClient(tracking_uri=uri)
    names = [
        Path(item.path).name for item in client.list_artifacts(runs(uri)[0].info.run_id, "images")
    ]
    keys = {tuple(name.split("+")[:3]) for name in names}
    # Four of the seven that were kept, from the first to the last of them; 1499 passes in all.
    assert keys == {("stylized", "step", step) for step in ("1", "5", "20", "100", "1499")}


def test_views_that_cannot_be_written_cost_nothing_else_and_later_ones_replace_ours_alone(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise TrackingError("no tags today")

    def views(experiment: str) -> dict[str, str]:
        tags = client.get_experiment_by_name(experiment).tags.items()
        prefix = saved_views.TAG
        return {k.removeprefix(prefix): json.loads(v)["name"] for k, v in tags if prefix in k}

    def mirrored() -> None:
        mirror = Mirror(store, uri, pytest.fail)
        finish(mirror, store)
        assert mirror.working

    with monkeypatch.context() as broken, caplog.at_level(logging.DEBUG, logger="harness"):
        broken.setattr(MlflowClient, "set_experiment_tag", refuse)
        mirrored()
    client = MlflowClient(tracking_uri=uri)
    assert len(runs(uri, "s-summary")) == 2  # the variant, and the page that comes after it
    (said,) = [entry for entry in caplog.records if entry.name.startswith("harness")]
    assert said.levelno == logging.DEBUG
    assert "no tags today" in str(said.exc_info)
    assert views("s") == views("s-summary") == {}

    summary = client.get_experiment_by_name("s-summary").experiment_id
    for key in ("1795", "nst-pairs-4"):  # a person's, and ours of a run with more variants
        tag = json.dumps({"name": "by hand", "createdAt": 1, "state": "{}"})
        client.set_experiment_tag(summary, saved_views.TAG + key, tag)
    for _ in range(2):
        mirrored()
        assert views("s") == {"nst-by-variant": "By variant"}
        assert views("s-summary") == {"nst-pairs": "Pairs × variants", "1795": "by hand"}
