"""Addresses of MLflow: the database of any folder, drivers, credentials, logins."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from harness.store import Store, redact
from harness.tracking import address, client, ui
from harness.tracking.client import AccessError, connect, reported
from harness.tracking.run_contents import source_tags
from tests.helpers.command_line import command, nstbench
from tests.helpers.tracking.mlflow_server import free_port, running_proxy, status
from tests.helpers.tracking.shared_results import fill, pull
from tests.helpers.tracking.tracked_store import SUITE, record, runs

MISSING = "mysql+cymysql://me:pass/w@rd@127.0.0.1/results"
"""A database whose driver is not installed, with a password that no output may contain."""


@pytest.mark.parametrize("folder", ["x?y", "x %25", "#1", "a b", "ünï (100%) & 'co'"])
def test_the_database_is_in_the_folder_of_results_whatever_its_name(
    folder: str, tables: Path, tmp_path: Path
) -> None:
    out = tmp_path / folder
    out.mkdir()
    (out / "mlflow.db").write_bytes(tables.read_bytes())
    uri = address.default(out)
    assert address.database_file(uri) == out / "mlflow.db"
    fill(Store(out, "artists"), range(2), "2026-02-01T00:00:00+00:00")
    assert command("sync", "artists", "--out", out).exit_code == 0
    assert len(runs(uri, "artists")) == 2
    assert list(ui.links(uri, 5000))[1:]  # the saved views are in the database
    ui.check(uri, free_port())
    result = pull(tmp_path / "copy", uri)
    assert result.exit_code == 0, result.output
    assert "cells: 2 copied" in result.output
    assert {entry.name for entry in tmp_path.iterdir()} == {folder, "copy"}
    assert {entry.name for entry in out.iterdir()} == {"artists", "mlflow.db", "artifacts"}


def test_an_address_with_an_encoded_path_creates_no_folder_of_that_name(tmp_path: Path) -> None:
    given = f"sqlite:///{tmp_path}/x%20y/mlflow.db"
    with reported(given):
        connect(address.resolve(tmp_path, given))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x y"]


@pytest.mark.parametrize("name", ["run", "rescore", "sync", "pull", "ui", "doctor"])
def test_a_missing_driver_is_one_message_with_the_pip_command_before_any_cell(
    name: str, tmp_path: Path
) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text(SUITE.format(name="s", seeds=[0]), encoding="utf-8")
    arguments = [] if name in {"ui", "doctor"} else [suite]
    result = command(name, *arguments, "--out", tmp_path, "--tracking-uri", MISSING)
    assert result.exit_code == (3 if name == "doctor" else 2), result.output
    assert (
        "needs the Python package cymysql, which is not installed. Run `pip install cymysql`"
        in (" ".join(result.output.split()))
    )
    assert "rd@" not in result.output
    assert not list(tmp_path.glob("s/cells"))


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("postgres://me:secret@host/db", "Begin the address with postgresql://"),
        ("mysql+nothing://me:secret@host/db", "is not the address of a database"),
        ("postgresql+psycopg2://me:secret@host:port/db", "is not the address of a database"),
        ("sqlite://", "Pass sqlite:///PATH"),
        ("sqlite:///file:x?mode=ro&uri=true", "Pass sqlite:///PATH"),
        (__file__, f"Pass sqlite:///{__file__}"),
    ],
)
def test_an_invalid_address_of_a_database_is_an_error_without_its_password(
    uri: str, message: str, tmp_path: Path
) -> None:
    result = command("ui", "--out", tmp_path, "--tracking-uri", uri)
    assert (result.exit_code, message in result.output) == (2, True), result.output
    assert "secret" not in result.output


@pytest.mark.parametrize("code", [401, 403])
def test_a_server_that_requires_a_login_says_which_variables_to_set(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "BRIEF_SECONDS", 1)
    with running_proxy(port=9) as proxy:
        proxy.plan = lambda number, request: status(code)
        uri = proxy.url.replace("//", "//me:secret@")
        message = rf"HTTP {code}.*MLFLOW_TRACKING_USERNAME"
        with pytest.raises(AccessError, match=message) as error, reported(uri):
            connect(uri)
        doctor = command("doctor", "--out", tmp_path, "--tracking-uri", uri)
    assert "secret" not in str(error.value) + doctor.output
    assert "MLFLOW_TRACKING_TOKEN" in doctor.output
    assert "Start the server" not in doctor.output


def test_a_password_in_the_address_is_in_no_output_and_in_no_file(tmp_path: Path) -> None:
    suite, out = tmp_path / "s.yaml", tmp_path / "out"
    suite.write_text(SUITE.format(name="s", seeds=[0]), encoding="utf-8")
    uri = "http://me:geheim@127.0.0.1:1"
    result = nstbench("run", suite, "--out", out, "--tracking-uri", uri)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "! MLflow at http://…@127.0.0.1:1: " in result.stdout
    assert "geheim" not in result.stdout + result.stderr
    files = [path for path in out.rglob("*") if path.is_file()]
    assert {"run.json", "report.html"} < {path.name for path in files}
    assert [path for path in files if b"geheim" in path.read_bytes()] == []


def test_a_password_in_the_command_is_not_in_the_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nstbench", "run", "s", f"--tracking-uri={MISSING}"])
    assert source_tags()["mlflow.source.name"] == (
        "nstbench run s --tracking-uri=mysql+cymysql://…@127.0.0.1/results"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:p@ss@host/x", "http://…@host/x"),
        ("http://me:p/ss@host", "http://…@host"),
        ("postgresql://me:p@s/s@host/db", "postgresql://…@host/db"),
        ("mysql://host/db?user=me&password=secret&a=1", "mysql://host/db?user=me&password=…&a=1"),
        ("'http://a:b@c' 'http://d:e@f'", "'http://…@c' 'http://…@f'"),
        ("http://localhost:5000/a@b https://x.org/@me", "http://localhost:5000/a@b https://x.org/@me"),
    ],
)  # fmt: skip
def test_redact_hides_credentials_and_nothing_else(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_the_printed_command_opens_the_ui_on_the_same_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs, odd = Path("runs"), Path("it's #1")
    assert address.ui_command(runs, address.default(runs)) == "nstbench ui"
    assert address.ui_command(odd, address.default(odd)) == "nstbench ui --out 'it'\"'\"'s #1'"
    given = "sqlite:////data/a b.db"
    assert address.ui_command(runs, given) == f"nstbench ui --tracking-uri '{given}'"
    secret = "postgresql://me:secret@host/db"
    shown = "nstbench ui --tracking-uri 'postgresql://…@host/db'"
    assert address.ui_command(runs, secret) == shown
    monkeypatch.setenv("NSTBENCH_OUT", "other")
    assert address.ui_command(runs, address.default(runs)) == "nstbench ui --out runs"
    assert address.ui_command(Path("other"), address.default(Path("other"))) == "nstbench ui"


def test_records_that_mlflow_lacks_are_found_and_later_results_of_others_stay(
    store: Store, uri: str
) -> None:
    from dataclasses import replace

    from harness.tracking.tracker import Tracker

    records = [record(seed) for seed in range(3)]
    tracker = Tracker(store, uri)
    assert tracker.missing(records) == records
    tracker.cell(records[0])
    tracker.cell(replace(records[1], started="2026-02-01T00:00:00+00:00"))
    tracker.cell(replace(records[2], notes=("before a change",)))
    again = Tracker(store, uri)
    assert [each.cell.seed for each in again.missing(records)] == [2]


def test_reading_the_schema_of_a_database_in_wal_mode_creates_no_files(
    tables: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x?y.db"
    file.write_bytes(tables.read_bytes())
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
    before = (tmp_path.stat().st_mtime_ns, file.stat().st_mtime_ns)
    found = address.schema(f"sqlite+pysqlite:///{tmp_path}/x%3Fy.db")
    assert (found.age, found.experiments) == ("current", 1)
    assert list(tmp_path.iterdir()) == [file]
    assert (tmp_path.stat().st_mtime_ns, file.stat().st_mtime_ns) == before
