"""`nstbench pull` rebuilds a store from MLflow byte for byte."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from harness.records import Failure, Run
from harness.store import Store, dump
from harness.tracking import artifacts
from harness.tracking import tracker as tracking
from harness.tracking.run_payload import RunPayload
from tests.helpers.command_line import command
from tests.helpers.tracking.shared_results import SEEDS, files_of, fill, make_record, pull, send


def test_a_pull_into_an_empty_folder_rebuilds_the_store_and_a_second_one_copies_nothing(
    colleague: Store, colleague_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = Store(tmp_path / "local", "artists")
    result = pull(tmp_path / "local", colleague_uri)
    assert result.exit_code == 0, result.output
    assert f"artists: cells: {SEEDS} copied, 0 already present; runs: 1 copied\n" in result.stdout
    expected = files_of(colleague)
    secret, hidden = b"http://me:secret@server", "http://…@server".encode()
    for name in ("run.json", "history/2026-02-01T00-00-00+00-00.json"):
        assert secret in expected[name]
        # The server does not show credentials to its other users.
        expected[name] = expected[name].replace(secret, hidden)
    assert files_of(local) == expected
    assert send(local, colleague_uri) == 0  # the copy equals what was sent
    read: list[str] = []
    original = artifacts.Files.read
    monkeypatch.setattr(
        artifacts.Files, "read",
        lambda self, path, limit: (read.append(path), original(self, path, limit))[1],
    )  # fmt: skip
    again = pull(tmp_path / "local", colleague_uri)
    assert f"artists: cells: 0 copied, {SEEDS} already present; runs: 0 copied\n" in again.stdout
    assert read == ["run.json"]
    assert files_of(local) == expected


def test_finished_cells_of_the_store_stay_and_its_newer_run_stays_the_latest(
    colleague: Store, colleague_uri: str, tmp_path: Path
) -> None:
    local = fill(Store(tmp_path / "local", "artists"), range(2), "2026-03-01T00:00:00+00:00")
    (own, image), (other, _) = make_record(0, ssim=0.25), make_record(1)
    local.write(own, image, [])
    local.write(replace(other, status="failed", failure=Failure("X", "no luck")), None, [])
    result = pull(tmp_path / "local", colleague_uri)
    assert result.exit_code == 0, result.output
    assert f"cells: {SEEDS - 1} copied, 1 already present; runs: 1 copied\n" in result.stdout
    assert local.record_path(own.cell.id).read_text(encoding="utf-8") == dump(own)
    copy, sent = (store.record_path(other.cell.id).read_bytes() for store in (local, colleague))
    assert copy == sent  # the failed record was replaced
    assert "of the run of 2026-03-01T00:00:00 UTC" in result.stdout
    assert [run.started[:7] for run in local.revisions()] == ["2026-02", "2026-03"]
    assert command("report", "artists~1", "--out", tmp_path / "local").exit_code == 0


def test_pages_of_two_colleagues_do_not_replace_each_other(
    colleague: Store, colleague_uri: str, tmp_path: Path
) -> None:
    another = fill(Store(tmp_path / "b", "artists"), range(3), "2026-04-01T00:00:00+00:00")
    assert send(another, colleague_uri) == 2  # the variant, with fewer cells now, and the page
    client = MlflowClient(tracking_uri=colleague_uri)
    (cells,) = (e for e in client.search_experiments() if e.name == "artists")
    unfinished = client.search_runs([cells.experiment_id])[0].info.run_id
    client.delete_tag(unfinished, "nst.record")
    result = pull(tmp_path / "local", colleague_uri)
    assert f"cells: {SEEDS - 1} copied, 0 already present; runs: 2 copied\n" in result.stdout
    revisions = Store(tmp_path / "local", "artists").revisions()
    assert [len(run.cells) for run in revisions] == [SEEDS, 3]


def test_sync_completes_what_an_earlier_version_mirrored_and_sends_nothing_else_again(
    colleague: Store, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:  # sends only some intermediate images, and no run
        earlier.setattr(RunPayload, "bundle", lambda self, name, paths: None)
        earlier.setattr(
            tracking,
            "record_digest",
            lambda record, names=(), own=tracking.record_digest: own(record),
        )
        earlier.setattr(tracking, "REPORT", "")
        earlier.setattr(Run, "plan_id", "report")
        send(colleague, uri)
    result = pull(tmp_path / "local", uri)
    assert result.exit_code == 3
    assert (
        "! left out: the run: an earlier version of nstbench sent it; run `nstbench sync`"
        in result.stdout
    )
    assert f"{SEEDS // 2} cells lack their intermediate images" in result.stdout
    assert send(colleague, uri) == SEEDS // 2 + 1  # cells with intermediate images, and the page
    client = MlflowClient(tracking_uri=uri)
    summary = client.get_experiment_by_name("artists-summary").experiment_id
    assert len(client.search_runs([summary])) == 2  # one variant, one page
    result = pull(tmp_path / "new", uri)
    assert (result.exit_code, "intermediate" in result.stdout) == (0, False)
    assert files_of(Store(tmp_path / "new", "artists")).keys() == files_of(colleague).keys()


def test_wrong_arguments_are_reported_with_the_available_ones(
    colleague: Store, colleague_uri: str, tmp_path: Path
) -> None:
    out = tmp_path / "local"
    client = MlflowClient(tracking_uri=colleague_uri)
    client.create_experiment("user's")
    for name, words in {
        "artits": ("has no experiment 'artits'; it has artists.", "Did you mean 'artists'?"),
        "user's": ("no results of nstbench in", "it has artists"),
        "artists-summary": ("no results of nstbench in", "Did you mean 'artists'?"),
    }.items():
        result = pull(out, colleague_uri, name)
        assert result.exit_code == 2
        assert all(word in result.stderr for word in words), result.stderr
    without_uri = command("pull", "artists", "--out", out)
    assert without_uri.exit_code == 2
    assert "Pass --tracking-uri, or set MLFLOW_TRACKING_URI" in without_uri.stderr
    absent = pull(out, f"sqlite:///{tmp_path}/absent.db")
    assert absent.exit_code == 2
    assert "absent.db does not exist" in absent.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"colleague"}  # no folder was created
