"""Databases of MLflow that cannot be read, written or created at once."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.store import Store
from tests.helpers.command_line import nstbench
from tests.helpers.disks import mounted
from tests.helpers.tracking.tracked_store import (
    TRACKING,
    assert_exactly_once,
    python,
    run_of,
    send_store,
    sync,
    warning_of,
)  # fmt: skip


def test_a_file_that_is_not_a_database_of_this_mlflow_is_reported_at_once(
    store: Store, uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.db").write_bytes(random.Random(1).randbytes(5000))
    assert "file is not a database" in warning_of(store, f"sqlite:///{tmp_path / 'noise.db'}")
    assert "unable to open" in warning_of(store, f"sqlite:///{store.root}")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    other = shutil.copy(tmp_path / "mlflow.db", tmp_path / "other.db")
    assert "found version ffffffffffff" in warning_of(store, uri)
    with closing(sqlite3.connect(other)) as file, file:
        file.execute("DROP TABLE assessments")
    assert "upgrade MLflow" in warning_of(store, f"sqlite:///{other}")
    assert capfd.readouterr() == ("", "")  # MLflow itself prints nothing


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full", "readonly", "locked"])
def test_a_database_that_cannot_be_written_gives_a_warning(
    fault: str, store: Store, tables: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "disk", "1000k") as change:
        path = Path(shutil.copy(tables, tmp_path / "disk" / "mlflow.db"))
        uri = f"sqlite:///{path}"
        if fault == "readonly":
            change("ro")
        with closing(sqlite3.connect(path, isolation_level=None)) as another:
            if fault == "locked":
                another.execute("BEGIN IMMEDIATE")
            if fault == "full":
                (path.parent / "rest").write_bytes(bytes(shutil.disk_usage(path.parent).free))
            assert fault in warning_of(store, uri)
        change("rw,size=20m")
        store.write_run(run_of(store))
        result = nstbench("sync", "s", "--out", tmp_path, "--tracking-uri", uri)
        assert result.returncode == 0, result.stderr
        assert_exactly_once(uri, store, store.all_records())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_two_processes_can_create_one_database_at_once(store: Store, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new.db'}"
    with python(TRACKING) as one, python(TRACKING) as two:
        for process in (one, two):
            assert process.stdout is not None
            process.stdout.readline()
        for process in (one, two):
            send_store(process, store, uri)
        assert [process.wait(120) for process in (one, two)] == [0, 0]
    assert not list(tmp_path.glob(".*"))
    sync(store, uri)
    assert_exactly_once(uri, store, store.all_records())
