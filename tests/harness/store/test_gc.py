"""`nstbench gc` finds files that no run refers to, and removes them only with --yes."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from harness import filesystem
from harness.records import Record
from harness.store import Store
from harness.store import gc as garbage
from tests.harness.test_filesystem import command, fill
from tests.helpers.report_page import CAT, WAVE, cell, record, store_of

DAY = 24 * 3600
OTHER = replace(WAVE, name="other", sha256="4" * 64)
LATEST = [record(cell("gatys[adam]")), record(cell("gatys[lbfgs]", CAT))]
EARLIER = [LATEST[0], record(cell("johnson", style=OTHER))]
NEVER = [record(cell("gatys[adam]", CAT, style=OTHER, seed=5, size=128))]


def add_to_history(store: Store, records: list[Record], name: str) -> None:
    """Add a run with these cells to the history."""
    data = json.loads((store.root / "run.json").read_text())
    data["cells"] = [one.cell.id for one in records]
    (store.root / "history").mkdir(exist_ok=True)
    (store.root / "history" / f"{name}.json").write_text(json.dumps(data))
    (store.root / "history" / f"{name}.yaml").write_text("version: 1\n")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two runs and a cell of neither of them; each cell has a fit."""
    store_of(tmp_path, NEVER)
    store_of(tmp_path, EARLIER)
    store = store_of(tmp_path, LATEST)
    shutil.rmtree(store.root / "history")  # the runs above are replaced by those below
    add_to_history(store, EARLIER, "2026-11-20T10-00-00+00-00")
    add_to_history(store, LATEST, "2026-11-21T10-00-00+00-00")
    for one in (*LATEST, *EARLIER, *NEVER):
        store.write_fit(one.cell, b"tensors", {})
    return store


def files_of(store: Store) -> dict[str, set[str]]:
    folders = ("cells", "fits", "inputs", "history", "checkpoints")
    return {name: {p.name for p in (store.root / name).glob("*")} for name in folders}


def gc(store: Store, *options: str) -> dict[str, set[str]]:
    """Run the command and return the remaining files."""
    done = command("gc", "artists", "--out", store.root.parent, *options)
    assert done.exit_code == 0, done.output
    return files_of(store)


def names(records: list[Record]) -> dict[str, set[str]]:
    """Return the files that records refer to."""
    store, cells = Store(Path(), "artists"), [one.cell for one in records]
    images = {store.input_path(use, c.size).name for c in cells for use in (c.content, c.style)}
    return {"cells": {c.id for c in cells}, "fits": {c.fit_id for c in cells}, "inputs": images}


def test_without_yes_it_lists_files_and_removes_none(store: Store) -> None:
    before = sorted(store.root.rglob("*"))
    done = command("gc", "--out", store.root.parent)
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["artists", "cells", "1", "0.0"] in rows
    assert ["artists", "fits", "1", "0.0"] in rows
    assert ["artists", "inputs", "2", "0.0"] in rows  # the cat and the other style at 128 pixels
    assert "To free 0.0 MB, pass --yes." in done.stdout
    assert sorted(store.root.rglob("*")) == before


def test_files_of_the_latest_and_of_earlier_runs_stay(store: Store) -> None:
    before = files_of(store)
    after = gc(store, "--yes")
    for kind, needed in names([*LATEST, *EARLIER]).items():
        assert after[kind] == needed
        assert before[kind] == needed | names(NEVER)[kind]
    assert after["history"] == before["history"]
    assert list(store.records(store.run())) != []
    assert command("report", "artists", "--out", store.root.parent).exit_code == 0
    assert garbage.find(store) == []


def test_it_frees_space_on_a_full_disk(small_disk: Path) -> None:
    store_of(small_disk, NEVER)
    store = store_of(small_disk, LATEST)
    fill(small_disk)
    assert gc(store, "--yes")["cells"] == names(LATEST)["cells"]
    assert shutil.disk_usage(small_disk).free > 0


def test_latest_only_removes_files_of_earlier_runs(store: Store) -> None:
    after = gc(store, "--yes", "--latest-only")
    for kind, needed in names(LATEST).items():
        assert after[kind] == needed
    latest = "2026-11-21T10-00-00+00-00"
    assert after["history"] == {f"{latest}.json", f"{latest}.yaml"}


def test_json_lists_every_path(store: Store) -> None:
    done = command("gc", "artists", "--out", store.root.parent, "--json")
    found = {row["kind"]: row for row in json.loads(done.stdout)}
    (cell_path,) = found["cells"]["paths"]
    (never,) = NEVER
    assert Path(cell_path) == store.root / "cells" / never.cell.id
    size = sum(path.stat().st_size for path in Path(cell_path).iterdir())
    assert found["cells"] == {"suite": "artists", "kind": "cells", "paths": [cell_path],
                              "megabytes": size / 1e6, "kept": ""}  # fmt: skip


def test_a_suite_with_a_run_in_progress_is_not_changed(store: Store) -> None:
    before = files_of(store)
    with FileLock(store.root / ".lock"):
        for options in ((), ("--yes",)):
            done = command("gc", "artists", "--out", store.root.parent, *options)
            assert done.exit_code == 2
            assert f"{store.root}: a run is in progress" in done.stderr
    assert files_of(store) == before
    assert gc(store, "--yes") != before


def test_unreadable_cells_and_files_that_they_may_need_stay_by_default(store: Store) -> None:
    (never,) = NEVER
    path = store.record_path(never.cell.id)
    path.write_text(path.read_text().replace('"variant"', '"variante"'))
    before = files_of(store)
    assert gc(store, "--yes") == before
    kept = {group.kind: group.kept for group in garbage.find(store)}
    assert kept == {
        "cells that cannot be read": "--unreadable removes them too",
        "fits": "a cell that cannot be read may need them",
        "inputs": "a cell that cannot be read may need them",
    }
    assert gc(store, "--yes", "--unreadable")["cells"] == names([*LATEST, *EARLIER])["cells"]


def test_fits_stay_while_the_latest_run_is_incomplete(store: Store) -> None:
    """A fit is stored before the first of its cells, so its cell may be still to come."""
    run = store.run()
    store.write_run(replace(run, cells=(*run.cells, "0" * 12)))
    before = files_of(store)
    after = gc(store, "--yes")
    assert (after["fits"], after["inputs"]) == (before["fits"], before["inputs"])
    assert after["cells"] == names([*LATEST, *EARLIER])["cells"]


def test_an_unreadable_run_keeps_all_files(store: Store) -> None:
    (store.root / "history" / "2026-11-19T10-00-00+00-00.json").write_text('{"cells": 7}')
    before = files_of(store)
    done = command("gc", "artists", "--out", store.root.parent, "--yes")
    assert done.exit_code == 2
    assert "it is unknown which files that run needs; nothing was removed" in done.stderr
    assert files_of(store) == before


def aged(path: Path, seconds: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_checkpoints_of_completed_cells_and_those_older_than_a_month_are_removed(
    store: Store,
) -> None:
    folder = store.root / "checkpoints"
    ended, fitted = LATEST[0].cell.id, LATEST[1].cell.fit_id
    gone = [aged(folder / ended, DAY), aged(folder / f"{fitted}.safetensors", DAY),
            aged(folder / ("a" * 12), 31 * DAY)]  # fmt: skip
    kept = [aged(folder / ("b" * 12), 29 * DAY), aged(folder / "notes.txt", 99 * DAY)]
    assert gc(store, "--yes")["checkpoints"] == {path.name for path in kept}
    assert not any(path.exists() for path in gone)


def test_incomplete_files_of_other_machines_are_removed_after_a_day(store: Store) -> None:
    part = f"{filesystem.PART}1@another-machine@"
    ours = filesystem.part_of(store.root / "x")
    old, young = aged(store.root / f"{part}old", 2 * DAY), aged(store.root / f"{part}young", 60)
    before_names = aged(store.root / "cells" / f"{filesystem.PART}of-an-earlier-version", 2 * DAY)
    aged(ours, 60)
    gc(store, "--yes")
    assert [path.exists() for path in (old, young, before_names, ours)] == [
        False, True, False, True
    ]  # fmt: skip


def test_files_outside_the_suite_are_not_touched(store: Store, tmp_path: Path) -> None:
    (never,) = NEVER
    outside = tmp_path / "elsewhere"
    (store.root / "fits").rename(outside)
    (store.root / "fits").symlink_to(outside)
    mine = store.root / "cells" / "my-notes"
    mine.mkdir()
    linked = store.root / "cells" / ("f" * 12)
    linked.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    gc(store, "--yes", "--unreadable")
    assert sorted(outside.rglob("*")) == before
    assert mine.exists()
    assert not linked.is_symlink()
    assert not (store.root / "cells" / never.cell.id).exists()
    for name in ("..", ".", ""):
        assert command("gc", name, "--out", store.root, "--yes").exit_code == 2


def test_a_suite_without_results_is_an_error_and_the_others_are_processed(store: Store) -> None:
    done = command("gc", "nothing", "artists", "--out", store.root.parent, "--yes")
    assert done.exit_code == 2
    assert "nothing holds no results" in done.stderr
    assert garbage.find(store) == []
