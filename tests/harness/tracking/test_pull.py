"""`nstbench pull` rebuilds a store from MLflow byte for byte, and rejects invalid data."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from click.testing import Result
from mlflow import MlflowClient
from PIL import Image as Pillow

from harness.errors import RecordError
from harness.execution.image_encoding import encode_snapshot
from harness.records import Failure, Record, Run, TracePoint
from harness.resources.images import to_png
from harness.store import Store, dump
from harness.tracking import artifacts, untrusted
from harness.tracking import tracker as tracking
from harness.tracking.run_payload import RunPayload
from harness.tracking.tracker import Tracker
from reports import page
from tests.helpers.command_line import command
from tests.helpers.report_page import CUP, ENCODER, WAVE, cell, png, record
from tests.helpers.web_server import Web

SEEDS = 9
HEAD = "phase,index,seconds,total,content,style,tv\n"
SAVED = "saved_total,saved_content,saved_style,saved_tv\n"
RUN: dict[str, Any] = {
    "suite": "artists", "description": "Who is best?", "profile": "", "skipped": (),
    "metrics": ("ssim",), "encoder": ENCODER, "device": "cpu", "precision": "float32",
    "finished": True, "tracking": "http://me:secret@server",
}  # fmt: skip


def made(seed: int, **changes: Any) -> tuple[Record, bytes]:
    """Return a record and its image."""
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    facts = {"width": 64, "height": 48, "image_sha256": sha256, "started": "2026-01-01T00:00:00"}
    return record(cell("gatys[adam]", seed=seed), **facts | changes), to_png(pixels)


def fill(store: Store, seeds: range, started: str) -> Store:
    """Write a run: a curve for every cell, intermediate images for every other one."""
    for seed in seeds:
        one, image = made(seed)
        curve = [TracePoint("stylize", i, i / 8, {"total": 9.5 / i}) for i in range(1, 9)]
        webp = encode_snapshot(np.full((48, 64, 3), seed, np.uint8))
        store.write(one, image, curve, dict.fromkeys((1, 2, 5), webp) if seed % 2 else {})
    for use in (CUP, WAVE):
        store.write_input(use, 64, png(size=(64, 48)))
    store.write_suite("name: artists\n")
    cells = tuple(made(seed)[0].cell.id for seed in seeds)
    store.write_run(Run(cells=cells, started=started, **RUN))
    page.write(store)
    return store


def send(store: Store, uri: str) -> int:
    """Do what `sync` does; return the number of runs that were sent."""
    tracker, records = Tracker(store, uri, verify=True), list(store.records(store.run()))
    for each in records:
        tracker.cell(each)
    tracker.variants(records)
    tracker.report(store.run(), records, store.page_paths())
    return tracker.sent


@pytest.fixture
def theirs(tmp_path: Path) -> Store:
    """The store of a colleague, on another machine."""
    return fill(Store(tmp_path / "theirs", "artists"), range(SEEDS), "2026-02-01T00:00:00+00:00")


@pytest.fixture
def uri(theirs: Store, tables: Path) -> str:
    """An MLflow database with all results of `theirs`."""
    uri = f"sqlite:///{shutil.copy(tables, theirs.root.parent)}"
    send(theirs, uri)
    return uri


def pull(out: Path, uri: str, name: str = "artists") -> Result:
    return command("pull", name, "--out", out, "--tracking-uri", uri)


def files(store: Store) -> dict[str, bytes]:
    """Return the contents of all files of a store by path, without the lock."""
    paths = (path for path in store.root.rglob("*") if path.is_file())
    return {str(p.relative_to(store.root)): p.read_bytes() for p in paths if p.name != ".lock"}


def test_a_pull_into_an_empty_folder_rebuilds_the_store_and_a_second_one_copies_nothing(
    theirs: Store, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Store(tmp_path / "ours", "artists")
    done = pull(tmp_path / "ours", uri)
    assert done.exit_code == 0, done.output
    assert f"artists: cells: {SEEDS} copied, 0 already present; runs: 1 copied\n" in done.stdout
    expected = files(theirs)
    secret, hidden = b"http://me:secret@server", "http://…@server".encode()
    for name in ("run.json", "history/2026-02-01T00-00-00+00-00.json"):
        assert secret in expected[name]
        expected[name] = expected[name].replace(
            secret, hidden
        )  # credentials are hidden from other users of the server
    assert files(ours) == expected
    assert send(ours, uri) == 0  # the copy equals what was sent
    read: list[str] = []
    honest = artifacts.Files.read
    monkeypatch.setattr(
        artifacts.Files, "read",
        lambda self, path, limit: (read.append(path), honest(self, path, limit))[1],
    )  # fmt: skip
    again = pull(tmp_path / "ours", uri)
    assert f"artists: cells: 0 copied, {SEEDS} already present; runs: 0 copied\n" in again.stdout
    assert read == ["run.json"]
    assert files(ours) == expected


def test_finished_cells_of_the_store_stay_and_its_newer_run_stays_the_latest(
    theirs: Store, uri: str, tmp_path: Path
) -> None:
    ours = fill(Store(tmp_path / "ours", "artists"), range(2), "2026-03-01T00:00:00+00:00")
    (own, image), (other, _) = made(0, ssim=0.25), made(1)
    ours.write(own, image, [])
    ours.write(replace(other, status="failed", failure=Failure("X", "no luck")), None, [])
    done = pull(tmp_path / "ours", uri)
    assert done.exit_code == 0, done.output
    assert f"cells: {SEEDS - 1} copied, 1 already present; runs: 1 copied\n" in done.stdout
    assert ours.record_path(own.cell.id).read_text(encoding="utf-8") == dump(own)
    taken = [each.record_path(other.cell.id).read_bytes() for each in (ours, theirs)]
    assert taken[0] == taken[1]  # the store had no result of it
    assert "of the run of 2026-03-01T00:00:00 UTC" in done.stdout
    assert [run.started[:7] for run in ours.revisions()] == ["2026-02", "2026-03"]
    assert command("report", "artists~1", "--out", tmp_path / "ours").exit_code == 0


def test_pages_of_two_colleagues_do_not_replace_each_other(
    theirs: Store, uri: str, tmp_path: Path
) -> None:
    another = fill(Store(tmp_path / "b", "artists"), range(3), "2026-04-01T00:00:00+00:00")
    assert send(another, uri) == 2  # the variant, with fewer cells now, and the page
    client = MlflowClient(tracking_uri=uri)
    (cells,) = (e for e in client.search_experiments() if e.name == "artists")
    under_way = client.search_runs([cells.experiment_id])[0].info.run_id
    client.delete_tag(under_way, "nst.record")
    done = pull(tmp_path / "ours", uri)
    assert f"cells: {SEEDS - 1} copied, 0 already present; runs: 2 copied\n" in done.stdout
    revisions = Store(tmp_path / "ours", "artists").revisions()
    assert [len(run.cells) for run in revisions] == [SEEDS, 3]


def test_sync_completes_what_an_earlier_version_mirrored_and_sends_nothing_else_again(
    theirs: Store, tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{shutil.copy(tables, theirs.root.parent)}"
    with monkeypatch.context() as earlier:  # it sent only some intermediate images, and no run
        earlier.setattr(RunPayload, "bundle", lambda self, name, paths: None)
        earlier.setattr(
            tracking,
            "record_digest",
            lambda record, names=(), own=tracking.record_digest: own(record),
        )
        earlier.setattr(tracking, "REPORT", "")
        earlier.setattr(Run, "plan_id", "report")
        send(theirs, uri)
    done = pull(tmp_path / "ours", uri)
    assert done.exit_code == 3
    assert (
        "! left out: the run: an earlier version of nstbench sent it; run `nstbench sync`"
        in done.stdout
    )
    assert f"{SEEDS // 2} cells lack their intermediate images" in done.stdout
    assert send(theirs, uri) == SEEDS // 2 + 1  # cells with intermediate images, and the page
    client = MlflowClient(tracking_uri=uri)
    summary = client.get_experiment_by_name("artists-summary").experiment_id
    assert len(client.search_runs([summary])) == 2  # one variant, one page
    done = pull(tmp_path / "new", uri)
    assert (done.exit_code, "intermediate" in done.stdout) == (0, False)
    assert files(Store(tmp_path / "new", "artists")).keys() == files(theirs).keys()


def tampered(folder: Path, seed: int) -> str:
    """Damage the files of a run, depending on the seed; return the expected message."""
    one, _ = made(seed)
    image = next(path for path in (folder / "images").glob("*.png") if "+step+8+" in path.name)
    text = folder / "record.json"
    match seed:
        case 0:
            text.write_text(dump(made(1)[0]), encoding="utf-8")
            return "record.json is of cell"
        case 1:
            up = replace(one.cell.content, name="../../../evil")
            text.write_text(dump(replace(one, cell=replace(one.cell, content=up))), "utf-8")
            return ""  # the name is not used as a path
        case 2:
            image.write_bytes(png(size=(64, 48)))
            return "does not match the digest in its record"
        case 3:
            image.write_bytes(image.read_bytes() + bytes(77_824))
            # 4 bytes for each of 64 x 48 pixels, and 65,536
            return "is larger than the limit of 77,824 bytes"
        case 4:
            text.write_text(dump(replace(one, width=10_000, height=10_000)), "utf-8")
            image.write_bytes(bomb())
            return "10000 x 10000 pixels, which is not allowed"
        case 5:
            with ZipFile(folder / "snapshots.zip", "a") as bundle:
                bundle.writestr("000007.webp", png())
            return "cannot be read"
        case 6:
            (folder / "trace.csv").unlink()
            return "differ from those that were sent"
        case 7:
            text.write_text(dump(one).replace('"value": 0.5', '"value": Infinity'), "utf-8")
            return "cannot be stored"
        case _:
            return ""


def bomb() -> bytes:
    """Return a PNG of a few kilobytes with a hundred million pixels."""
    buffer = io.BytesIO()
    Pillow.new("1", (10_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


def test_invalid_cells_are_left_out_and_named_and_the_others_are_copied(
    theirs: Store, uri: str, tmp_path: Path
) -> None:
    client = MlflowClient(tracking_uri=uri)
    said = {}
    for run in client.search_runs([client.get_experiment_by_name("artists").experiment_id]):
        seed, run_id, key = int(run.data.params["seed"]), run.info.run_id, run.data.tags["nst.key"]
        why = tampered(Path(run.info.artifact_uri.removeprefix("file://")), seed)
        if seed != 6:  # the file is missing on the server
            found = artifacts.contents_digest(run.info.artifact_uri, uri)
            client.set_tag(run_id, "nst.artifacts", found)
        if seed == 8:
            key, why = "../../../evil\x1b]0;title\x07", "record.json is of cell"
            client.set_tag(run_id, "nst.key", key)
        said |= {key: why} if why else {}
    done = pull(tmp_path / "ours", uri)
    assert (done.exit_code, len(said)) == (3, SEEDS - 1)
    assert "artists: cells: 1 copied, 0 already present; runs: 1 copied\n" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("! left out: ")]
    assert len(lines) == len(said)
    for key, why in said.items():
        (line,) = (line for line in lines if f": {key[:12]}" in line)
        assert why in line
    assert "8 of the planned cells have no record" in (
        tmp_path / "ours" / "artists" / "report.html"
    ).read_text(encoding="utf-8")
    assert "\x1b" not in done.output
    assert not list(tmp_path.rglob("*evil*"))
    assert {path.name for path in tmp_path.iterdir()} == {"theirs", "ours"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"suite": "other"}, "of suite 'other'"),
        ({"cells": ("../../../etc",)}, "cell ids that are not 12 hexadecimal digits"),
        ({"started": "../../evil"}, "invalid start time '../../evil'"),
        ({"started": "2026-13-41T25:00:00+00:00"}, "cannot be stored"),
        ({"seconds": float("nan")}, "cannot be stored"),
    ],
)
def test_an_invalid_run_is_rejected(changes: dict[str, Any], why: str) -> None:
    facts = {"cells": ("0" * 12,), "started": "2026-02-01T00:00:00+00:00", **RUN, "seconds": 1.5}
    untrusted.parse_suite_run(dump(Run(**facts)).encode(), "artists")
    text = json.dumps(asdict(Run(**facts | changes)))
    with pytest.raises(RecordError, match=why):
        untrusted.parse_suite_run(text.encode(), "artists")


def test_archives_of_images_with_paths_or_overlapping_entries_are_rejected() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    buffer, webp = io.BytesIO(), encode_snapshot(noise)
    with ZipFile(buffer, "w") as bundle:
        for name in ("000001.webp", "../000002.webp", "/000003.webp", "0.webp"):
            bundle.writestr(name, webp)
        bundle.writestr("000004.webp", webp + bytes(10_000_000), ZIP_DEFLATED)
    assert untrusted.unpack_snapshots(buffer.getvalue()) == {1: webp}
    with pytest.raises(RecordError, match="intermediate images cannot be read"):
        untrusted.unpack_snapshots(buffer.getvalue()[:-5])
    inner, outer, header = io.BytesIO(), io.BytesIO(), 30 + len("000001.webp")
    with ZipFile(inner, "w") as bundle:
        bundle.writestr("000002.webp", webp)
        second = bundle.filelist[0]
    with ZipFile(outer, "w") as bundle:  # the first has the second in it: with many, a bomb
        bundle.writestr("000001.webp", inner.getvalue()[: header + len(webp)])
        second.header_offset = header
        bundle.filelist.append(second)
    with pytest.raises(RecordError, match="entries overlap"):
        untrusted.unpack_snapshots(outer.getvalue())


@pytest.mark.parametrize(
    "text",
    ["", "phase,index\n", f"{HEAD}fit,1\n", f"{HEAD}fit,x,1,1,,,\n", f"{HEAD}fit,-1,1,1,,,\n",
     f"{HEAD}fit,1,inf,1,,,\n", f"{HEAD}fit,1{'0' * 5000},1,1,,,\n", f"{HEAD}\0\"\n,"],
)  # fmt: skip
def test_an_invalid_curve_is_rejected(text: str) -> None:
    assert untrusted.parse_curve(f"{HEAD}fit,1,0.5,inf,,,\n".encode())  # it diverged
    (point,) = untrusted.parse_curve(f"{HEAD.strip()},{SAVED}stylize,1,0.5,2,,,,3,,,\n".encode())
    assert (point.losses, point.saved) == ({"total": 2.0}, {"total": 3.0})
    with pytest.raises(RecordError, match=r"trace\.csv"):
        untrusted.parse_curve(text.encode())


def test_a_file_larger_than_its_limit_is_not_read_to_its_end(web_server: Web) -> None:
    web_server.files["a.png"] = bytes(10_000_000)
    read = artifacts.download(web_server.url, "a.png", 1000)
    assert 1000 < len(read) <= 1000 + artifacts.CHUNK
    assert artifacts.download(web_server.url, "a.png", 20_000_000) == bytes(10_000_000)


def test_wrong_arguments_get_an_error_that_names_the_right_ones(
    theirs: Store, uri: str, tmp_path: Path
) -> None:
    out = tmp_path / "ours"
    client = MlflowClient(tracking_uri=uri)
    client.create_experiment("somebody's")
    for name, words in {
        "artits": ("has no experiment 'artits'; it has artists.", "Did you mean 'artists'?"),
        "somebody's": ("no results of nstbench in", "it has artists"),
        "artists-summary": ("no results of nstbench in", "Did you mean 'artists'?"),
    }.items():
        done = pull(out, uri, name)
        assert done.exit_code == 2
        assert all(word in done.stderr for word in words), done.stderr
    nowhere = command("pull", "artists", "--out", out)
    assert nowhere.exit_code == 2
    assert "Pass --tracking-uri, or set MLFLOW_TRACKING_URI" in nowhere.stderr
    absent = pull(out, f"sqlite:///{tmp_path}/absent.db")
    assert absent.exit_code == 2
    assert "absent.db does not exist" in absent.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"theirs"}  # no folder was created
