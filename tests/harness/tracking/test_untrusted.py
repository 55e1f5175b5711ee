"""Invalid and malicious data in MLflow: it is rejected and named, and the rest is pulled."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image as Pillow

from harness.errors import RecordError
from harness.execution.image_encoding import encode_snapshot
from harness.records import Run
from harness.store import Store, dump
from harness.tracking import artifacts, untrusted
from tests.helpers.report_page import png
from tests.helpers.tracking.shared_results import RUN_FIELDS, SEEDS, make_record, pull
from tests.helpers.web_server import Web

HEAD = "phase,index,seconds,total,content,style,tv\n"
SAVED = "saved_total,saved_content,saved_style,saved_tv\n"


def damage(folder: Path, seed: int) -> str:
    """Damage the files of a run, depending on the seed; return the expected message."""
    one, _ = make_record(seed)
    image = next(path for path in (folder / "images").glob("*.png") if "+step+8+" in path.name)
    text = folder / "record.json"
    match seed:
        case 0:
            text.write_text(dump(make_record(1)[0]), encoding="utf-8")
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
    colleague: Store, colleague_uri: str, tmp_path: Path
) -> None:
    client = MlflowClient(tracking_uri=colleague_uri)
    expected = {}
    for run in client.search_runs([client.get_experiment_by_name("artists").experiment_id]):
        seed, run_id, key = int(run.data.params["seed"]), run.info.run_id, run.data.tags["nst.key"]
        why = damage(Path(run.info.artifact_uri.removeprefix("file://")), seed)
        if seed != 6:  # the file is missing on the server
            found = artifacts.contents_digest(run.info.artifact_uri, colleague_uri)
            client.set_tag(run_id, "nst.artifacts", found)
        if seed == 8:
            key, why = "../../../evil\x1b]0;title\x07", "record.json is of cell"
            client.set_tag(run_id, "nst.key", key)
        expected |= {key: why} if why else {}
    result = pull(tmp_path / "local", colleague_uri)
    assert (result.exit_code, len(expected)) == (3, SEEDS - 1)
    assert "artists: cells: 1 copied, 0 already present; runs: 1 copied\n" in result.stdout
    lines = [line for line in result.stdout.splitlines() if line.startswith("! left out: ")]
    assert len(lines) == len(expected)
    for key, why in expected.items():
        (line,) = (line for line in lines if f": {key[:12]}" in line)
        assert why in line
    assert "8 of the planned cells have no record" in (
        tmp_path / "local" / "artists" / "report.html"
    ).read_text(encoding="utf-8")
    assert "\x1b" not in result.output
    assert not list(tmp_path.rglob("*evil*"))
    assert {path.name for path in tmp_path.iterdir()} == {"colleague", "local"}


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
    facts = {
        "cells": ("0" * 12,),
        "started": "2026-02-01T00:00:00+00:00",
        **RUN_FIELDS,
        "seconds": 1.5,
    }
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
    with ZipFile(outer, "w") as bundle:  # nested entries can make a bomb
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
