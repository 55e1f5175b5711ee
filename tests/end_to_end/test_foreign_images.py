"""A run with images that another program made: the pixels, scores, tables, MLflow and the page."""

from __future__ import annotations

import csv
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image as Pillow

from harness.records import Record
from harness.resources.images import read, resize, skimage_photograph
from harness.store import Store
from harness.tracking.run_contents import add_cell, cell_tags
from harness.tracking.run_payload import RunPayload
from tests.helpers.command_line import command, nstbench
from tests.helpers.report_page import Page, board_row

SUITE = """\
version: 1
name: foreign
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}, cat: {builtin: chelsea}}
styles: {grass: {builtin: grass}}
metrics: [ssim, gamut, style_loss]
methods:
  identity:
  gatys: {params: {iterations: 2}}
  theirs: {use: folder, params: {path: "results/{content}_stylized_{style}.png"}}
  large: {use: folder, params: {path: "large/{content}.png"}}
  resized: {use: folder, params: {path: "large/{content}.png", resize: lanczos}}
  broken: {use: folder, params: {path: "broken/{content}.png"}}
claims:
  time:
    {statement: It is quick., factor: variant, levels: [gatys, theirs], metric: stylize_seconds,
     predicts: lower, also: [peak_mb, ssim]}
"""


@dataclass(frozen=True)
class Results:
    """The folder of a suite, the output of its last run, and its records by variant and content."""

    folder: Path
    done: subprocess.CompletedProcess[str]
    store: Store
    records: dict[tuple[str, str], Record]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run a suite with folders of images as other programs would leave them."""
    folder = tmp_path_factory.mktemp("foreign")
    path = folder / "suite.yaml"
    path.write_text(SUITE, encoding="utf-8")
    for name in ("results", "large", "broken"):
        (folder / name).mkdir()
    for name, file in {"coffee": "coffee_stylized_grass", "cat": "cat_grass"}.items():
        photograph = read(skimage_photograph("chelsea" if name == "cat" else name))
        resize(photograph, 64).save(folder / "results" / f"{file}.png")
        resize(photograph, 128).save(folder / "large" / f"{name}.png")
    (folder / "broken" / "coffee.png").write_bytes(b"not an image")
    done = nstbench("run", path, "--out", folder / "runs", "--offline", "--no-mlflow")
    store = Store(folder / "runs", "foreign")
    records = {(r.cell.variant, r.cell.content.name): r for r in store.records(store.run())}
    return Results(folder, done, store, records)


def test_the_same_image_has_the_same_pixels_and_scores_as_the_method_that_made_it(
    results: Results,
) -> None:
    identity, theirs = results.records["identity", "coffee"], results.records["theirs", "coffee"]
    assert theirs.image_sha256 == identity.image_sha256
    assert theirs.scores == identity.scores
    assert theirs.timing is None
    assert theirs.ok


def test_cells_without_a_usable_image_have_reasons_and_the_run_says_so(results: Results) -> None:
    assert results.done.returncode == 3
    (skip,) = (s for s in results.store.run().skipped if s.variant == "theirs")
    assert "The nearest name in" in skip.reason
    assert skip.reason in results.done.stdout
    failed = {key: r.failure.message for key, r in results.records.items() if r.failure}
    assert failed.keys() == {("large", "coffee"), ("large", "cat"), ("broken", "coffee")}
    assert "128 x 85 pixels, and the cell 64 x 43" in failed["large", "coffee"]
    assert "cannot be read as an image" in failed["broken", "coffee"]
    assert results.records["resized", "cat"].notes == (
        "resized from 128 x 85 to 64 x 43 pixels (Lanczos)",
    )


def test_no_table_has_a_time_of_such_images(results: Results) -> None:
    lines = results.done.stdout.splitlines()
    (finished,) = (line for line in lines if "done theirs/coffee" in line)
    assert "not measured  ssim" in finished
    (mean,) = (line for line in lines if re.match(r"theirs +1", line))
    assert mean.endswith("not measured  not measured")
    with (results.store.root / "results.csv").open(newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["variant"] == "theirs")
    assert row["timed"] == "nothing"
    assert row["stylize_seconds"] == row["fit_seconds"] == row["peak_mb"] == ""


def test_mlflow_gets_scores_and_no_time(results: Results, tmp_path: Path) -> None:
    record = results.records["theirs", "coffee"]
    payload = RunPayload(tmp_path)
    add_cell(payload, results.store, record)
    keys = {key for key, *_ in payload.points}
    assert "final/ssim" in keys
    assert not [key for key in keys if key.startswith(("time/", "mem/"))]
    assert cell_tags(record)["nst.timed"] == "nothing"
    assert "nst.timed" not in cell_tags(results.records["gatys", "coffee"])


def test_a_claim_about_time_is_unavailable_and_one_about_scores_is_not(results: Results) -> None:
    out = ("--out", results.folder / "runs", "--json")
    rows = json.loads(command("claims", "foreign", *out).output)
    verdicts = {row["metric"]: (row["verdict"], row["notes"]) for row in rows}
    assert verdicts["stylize_seconds"] == ("unavailable", ["not measured"])
    assert verdicts["peak_mb"] == ("unavailable", ["not measured"])
    assert verdicts["ssim"][0] == "illustration"


def test_the_page_says_not_measured(results: Results) -> None:
    html = Page((results.store.root / "report.html").read_text(encoding="utf-8"))
    row = board_row(html, "theirs")
    assert row["stylize_seconds"] == ("not measured", False, False)
    assert row["peak_mb"] == ("not measured", False, False)
    assert not row["style_loss"][2]  # it need not minimise this loss
    assert board_row(html, "gatys")["style_loss"][2]


def test_cells_are_reused_until_the_bytes_of_an_image_change(results: Results) -> None:
    plan = ("plan", results.folder / "suite.yaml", "--out", results.folder / "runs", "--offline")
    assert "3 to run, 7 reused" in command(*plan).output  # the failed ones run again
    image = results.folder / "results" / "coffee_stylized_grass.png"
    before = image.read_bytes()
    Pillow.new("RGB", (64, 43)).save(image)
    try:
        assert "4 to run, 6 reused" in command(*plan).output
    finally:
        image.write_bytes(before)
