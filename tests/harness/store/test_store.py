"""Records, runs, traces and fits are read from the store as they were written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RecordError
from harness.records import (  # fmt: skip
    Cell,
    EncoderUse,
    Failure,
    ImageUse,
    Record,
    Run,
    Score,
    Skip,
    Timing,
    TracePoint,
)
from harness.store import Store
from harness.store.traces import without_trials

IMAGE = ImageUse("x", "sha", "here", title="Tübingen „Neckar“", year=1889)
ENCODER = EncoderUse("e", "w", "o")
PARAMS = {"w": [1.0, 2.0], "n": None}
CELL = Cell(
    "s", "v[a]", "v", "gatys", 1, PARAMS, {"a": "b"}, IMAGE, IMAGE, 64, 0, ENCODER, "float32", "cpu"
)
RECORD = Record(
    CELL,
    "done",
    scores=(
        Score("ssim", 0.25, "", "higher", "pixels"),
        Score("l", None, "", "lower", "x", 1, "why"),
    ),
    timing=Timing(1.0, True, 0.5, 1, 0.1, 3, (1.0, 2.0, 3.0), 100.0, "process"),
    failure=Failure("Kind", "message"),
    notes=("a note",),
)
TRACE = [
    TracePoint("fit", 1, 0.5, {"total": 2.0, "style": 2.0}),
    TracePoint("stylize", 1, 0.1, {"total": 1.0}),
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "s")


def test_a_record_is_read_as_written(store: Store) -> None:
    store.write(RECORD, b"png", TRACE)
    stored = store.read(CELL.id)
    assert stored is not None
    assert (stored.scores, stored.timing, stored.failure) == (
        RECORD.scores,
        RECORD.timing,
        RECORD.failure,
    )
    assert stored.notes == RECORD.notes
    assert stored.cell.components == CELL.components
    assert stored.cell.content == IMAGE
    assert store.trace(CELL.id) == TRACE
    image = store.image(CELL.id)
    assert image is not None
    assert image.read_bytes() == b"png"


def test_a_trace_has_columns_for_losses_of_saved_images_only_if_it_has_such_losses(
    store: Store,
) -> None:
    last = TracePoint("stylize", 2, 0.2, {"total": 0.5}, {"total": 0.75, "style": 0.25})
    store.write(RECORD, None, [*TRACE, last])
    assert store.trace(CELL.id) == [*TRACE, last]
    lines = store.trace_path(CELL.id).read_text().splitlines()
    assert lines[0] == ("phase,index,seconds,total,content,style,tv,"
                        "saved_total,saved_content,saved_style,saved_tv")  # fmt: skip
    assert lines[2:] == ["stylize,1,0.1000,1,,,,,,,", "stylize,2,0.2000,0.5,,,,0.75,,0.25,"]
    store.write(RECORD, None, TRACE)
    head = store.trace_path(CELL.id).read_text().splitlines()[0]
    assert head == "phase,index,seconds,total,content,style,tv"


def test_the_objective_of_a_record_of_schema_1_is_that_of_raw_pixels(store: Store) -> None:
    store.write(dataclasses.replace(RECORD, objective=0.5, objective_raw=0.25), None, [])
    path = store.record_path(CELL.id)
    stored = store.read(CELL.id)
    assert stored is not None
    assert (stored.objective, stored.objective_raw) == (0.5, 0.25)
    assert stored.objective_of == "saved image"
    old = json.loads(path.read_text())
    del old["objective_raw"]
    path.write_text(json.dumps({**old, "schema": 1}))
    stored = store.read(CELL.id)
    assert stored is not None
    assert (stored.schema, stored.objective, stored.objective_of) == (1, 0.5, "raw pixels")


def test_an_interrupted_write_leaves_the_earlier_record_and_no_incomplete_one(store: Store) -> None:
    store.write(RECORD, b"old", TRACE)

    class InvalidPoint:
        losses: Any = None  # raises TypeError while the trace is written
        saved: Any = None

    with pytest.raises(TypeError):
        store.write(dataclasses.replace(RECORD, notes=("new",)), b"new", [InvalidPoint()])  # type: ignore[list-item]
    stored, image = store.read(CELL.id), store.image(CELL.id)
    assert stored is not None
    assert image is not None
    assert (stored.notes, image.read_bytes()) == (("a note",), b"old")
    assert [p.name for p in (store.root / "cells").iterdir()] == [CELL.id]


def test_an_unreadable_record_is_an_error_with_a_remedy(store: Store) -> None:
    store.write(RECORD, None, [])
    path = store.record_path(CELL.id)
    path.write_text(path.read_text().replace('"variant"', '"variante"'))
    with pytest.raises(
        RecordError,
        match=r"record\.json cannot be read by this version.*cell\.variant.*run the suite again",
    ):
        store.read(CELL.id)


def test_a_suite_without_results_is_an_error_with_the_command_that_creates_them(
    store: Store,
) -> None:
    with pytest.raises(RecordError, match=r"holds no results\. `nstbench run suites/s\.yaml`"):
        store.run()


def test_a_run_is_read_as_written_and_yields_its_records_in_plan_order(store: Store) -> None:
    other = dataclasses.replace(CELL, seed=1)
    for cell in (CELL, other):
        store.write(Record(cell, "done"), None, [])
    ids, skips = (other.id, "missing00000", CELL.id), (Skip("n", "v", "p", "r"),)
    run = Run("s", "d", "quick", ids, skips, ("ssim",), ENCODER, "cpu", "float32")
    store.write_run(run)
    assert store.run() == run
    assert [r.cell.seed for r in store.records(store.run())] == [1, 0]


def test_a_record_with_nan_is_rejected(store: Store) -> None:
    bad = dataclasses.replace(RECORD, scores=(Score("s", float("nan"), "", "lower", "pixels"),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write(bad, None, [])


def test_intermediate_images_are_stored_with_their_cell(store: Store) -> None:
    store.write(RECORD, b"png", TRACE, {100: b"late", 5: b"early"})
    stored = store.snapshots(CELL.id)
    assert {step: path.read_bytes() for step, path in stored.items()} == {5: b"early", 100: b"late"}
    assert list(stored) == [5, 100]
    store.write(RECORD, b"png", TRACE)  # a new result replaces the intermediate images
    assert store.snapshots(CELL.id) == {}


def test_a_fit_is_stored_with_its_metadata(store: Store) -> None:
    assert store.fit(CELL.fit_id) is None
    store.write_fit(CELL, b"tensors", {"seconds": 1.5})
    assert store.fit(CELL.fit_id) == (b"tensors", {"seconds": 1.5})


def test_charts_omit_trial_points_of_a_line_search_and_keep_a_divergence() -> None:
    def points(*totals: float) -> list[TracePoint]:
        return [TracePoint("stylize", i, 0.0, {"total": t}) for i, t in enumerate(totals, 1)]

    assert [p.index for p in without_trials(points(10, 21, 9, 20, 3))] == [1, 3, 4, 5]
    diverged = points(10, 5, 1e9)
    assert without_trials(diverged) == diverged
    assert without_trials([]) == []
