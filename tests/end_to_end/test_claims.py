"""Claims and comparisons through the command line, on the results of a real run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command_line import ROOT, nstbench


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of small untrained networks on six styles and six contents."""
    folder = tmp_path_factory.mktemp("out")
    result = nstbench(
        "run", ROOT / "suites" / "upsamplers.yaml", "--out", folder, "--offline", "--no-mlflow",
        "--set", "sizes=[128]", "--set", "johnson.width=0.25",
        "--set", "contents=[coffee, chelsea, astronaut, rocket, motorcycle, camera]",
        "--set", "styles=[starry-night, water-lilies, seated-nude, the-scream, great-wave, "
                 "shipwreck]",
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def verdicts(out: Path) -> dict[str, Any]:
    result = nstbench("claims", "upsamplers", "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    return {row["claim_id"]: row for row in json.loads(result.stdout) if row["primary"]}


def test_untrained_transposed_convolution_produces_checkerboards(out: Path) -> None:
    rows = verdicts(out)
    # About 15 dB for 6 photographs and 8 initial networks, with standard deviations of a few dB.
    assert rows["U1"]["verdict"] == "supported"
    assert -25 < rows["U1"]["ci_lo"] < rows["U1"]["ci_hi"] < -8
    assert (rows["U1"]["n_style"], rows["U1"]["n_content"]) == (6, 6)
    assert rows["U1"]["p_adj"] < 0.01
    assert rows["U1"]["conditions"]["size"] == 128


def test_the_control_claims_have_the_expected_verdicts(out: Path) -> None:
    rows = verdicts(out)
    assert rows["Z1"]["verdict"] in {"equivalent", "equivalent (style-dependent)", "inconclusive"}
    assert rows["Z2"]["verdict"] == "supported"
    assert not any("the control" in note for row in rows.values() for note in row["notes"])


def test_an_estimate_can_be_recomputed_from_results_csv(out: Path) -> None:
    with (out / "upsamplers" / "results.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))

    def mean(upsample: str) -> float:
        values = [
            float(cell["checkerboard_db"]) for cell in cells
            if (cell["param.upsample"], cell["param.interpolation"], cell["seed"])
            == (upsample, "nearest", "0")
        ]  # fmt: skip
        assert len(values) == 36
        return sum(values) / 36

    row = verdicts(out)["U1"]
    # Every block has one pair, so the mean of differences is the difference of means.
    assert row["estimate"] == pytest.approx(mean("upsample_conv") - mean("conv_transpose"))
    assert row["level_means"] == pytest.approx([mean("conv_transpose"), mean("upsample_conv")])


def test_claims_print_a_table_by_default(out: Path) -> None:
    result = nstbench("claims", "upsamplers", "--out", out)
    assert "U1" in result.stdout
    assert "✓ supported" in result.stdout
    assert "conditions: 128 px, random" in result.stdout


def test_factors_can_be_compared_without_a_claim(out: Path) -> None:
    result = nstbench("compare", "upsamplers", "--out", out, "--by", "upsample", "--metric",
                    "checkerboard_db", "--format", "csv")  # fmt: skip
    assert result.returncode == 0, result.stderr
    rows = {row["claim_id"]: row for row in csv.DictReader(io.StringIO(result.stdout))}
    assert set(rows) == {"upsample=conv_transpose_k4", "upsample=conv_transpose_k2",
                         "upsample=pixel_shuffle", "upsample=upsample_conv"}  # fmt: skip
    assert rows["upsample=upsample_conv"]["verdict"] == "supported"


def test_unknown_metrics_and_missing_results_are_reported(out: Path) -> None:
    result = nstbench("compare", "upsamplers", "--out", out, "--metric", "lpips")
    assert result.returncode == 2
    assert "--metric lpips: no such score or cost. Available: checkerboard_db, " in result.stderr
    result = nstbench("compare", "nothing", "--out", out)
    assert result.returncode == 2
    assert "holds no results" in result.stderr


def test_a_claim_without_comparable_cells_is_rejected_before_the_run(
    tmp_path: Path,
) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text("""\
version: 1
name: s
encoder: random
contents: {coffee: {builtin: coffee}}
styles: {brick: {builtin: brick}}
methods: {gatys: {axes: {optimizer: [lbfgs, adam], iterations: [5, 6]}}}
exclude:
  - {optimizer: lbfgs, iterations: 5}
  - {optimizer: adam, iterations: 6}
claims:
  O1: {statement: Lower., method: gatys, factor: optimizer, levels: [adam, lbfgs],
       metric: objective, predicts: lower}
""")
    result = nstbench("plan", suite, "--out", tmp_path / "out", "--offline")
    assert result.returncode == 2
    assert "claims.O1: no cells of gatys with optimizer adam and lbfgs agree in all else." in (
        result.stderr
    )


def test_a_new_metric_is_scored_on_stored_images_without_stylizing(tmp_path: Path) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text("""\
version: 1
name: s
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {brick: {builtin: brick}}
methods: {identity: , planted_lattice: {params: {gain: 0.05}}}
metrics: [ssim]
""")
    options = [suite, "--out", tmp_path, "--offline", "--no-mlflow"]
    assert nstbench("run", *options).returncode == 0
    cells = tmp_path / "s" / "cells"
    images = {path: path.stat().st_mtime_ns for path in cells.glob("*/image.png")}
    # The cell with another gain has no image, and rescore makes none.
    result = nstbench("rescore", *options, "--set", "metrics=[ssim, tv_ratio]",
                    "--set", "planted_lattice.gain=0.1")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "1 to run, 0 reused, 1 to be scored again" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in cells.glob("*/image.png")} == images
    with (tmp_path / "s" / "results.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["label"], row["tv_ratio"]) for row in csv.DictReader(file)] == [
            ("identity", "1.0")
        ]


def test_the_page_has_the_verdicts_and_opens_in_the_users_browser(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n', encoding="ascii")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    result = nstbench("report", "upsamplers", "--out", out, "--open")
    assert result.returncode == 0, result.stderr
    page = out / "upsamplers" / "report.html"
    assert (tmp_path / "opened").read_text(encoding="utf-8").strip() == page.resolve().as_uri()
    assert "Upsample-conv has fewer checkerboard artefacts" in page.read_text(encoding="utf-8")
    with (out / "upsamplers" / "claims.csv").open(newline="", encoding="utf-8") as file:
        exported = {row["claim_id"]: row["verdict"] for row in csv.DictReader(file)
                if row["primary"] == "True"}  # fmt: skip
    assert exported == {name: row["verdict"] for name, row in verdicts(out).items()}
