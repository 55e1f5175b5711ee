"""A whole run with real processes, a real MLflow database and a real page."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from harness.cli.main import main
from tests.helpers.command_line import SMOKE, nstbench

CELLS = 2 * (3 + 2 + 2)  # pairs x (anchors, gatys, johnson)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run of the smoke suite."""
    folder = tmp_path_factory.mktemp("out")
    result = nstbench("run", SMOKE, "--out", folder, "--offline")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{CELLS} to run, 0 reused" in result.stdout
    assert result.stdout.rstrip().endswith(str(folder / "smoke" / "report.html"))
    return folder


def test_the_store_holds_every_cell(out: Path) -> None:
    from harness.store import Store

    store = Store(out, "smoke")
    records = list(store.records(store.run()))
    assert len(records) == CELLS
    assert all(record.ok for record in records)
    for record in records:
        assert store.image(record.cell.id)
        names = {score.name for score in record.scores}
        assert names == {"ssim", "lpips", "content_loss", "style_loss", "gamut"}
        lpips = record.score("lpips")
        assert lpips is not None
        assert lpips.value is None  # random weights give no LPIPS value
        assert "alexnet" in lpips.why_missing
    assert {r.objective_of for r in records if r.cell.label == "gatys"} == {"saved image"}
    assert {r.objective for r in records if r.cell.label != "gatys"} == {None}
    lines = (out / "smoke" / "results.csv").read_text(encoding="utf-8").splitlines()
    table = list(csv.DictReader(lines))
    for record, row in zip(records, table, strict=True):
        assert row["objective"] == ("" if record.objective is None else str(record.objective))
        assert row["objective_of"] == record.objective_of
    identity = next(r for r in records if r.cell.label == "identity")
    ssim = identity.score("ssim")
    assert ssim is not None
    assert ssim.value == 1


def test_mlflow_holds_cells_with_curves_and_images_and_a_summary(out: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    cells = client.get_experiment_by_name("smoke")
    summary = client.get_experiment_by_name("smoke-summary")
    assert cells is not None
    assert summary is not None
    runs = client.search_runs([cells.experiment_id])
    assert len(runs) == CELLS
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not any("mlflow.parentRunId" in run.data.tags for run in runs)
    run = next(r for r in runs if r.info.run_name == "gatys[adam]/coffee--starry-night/s0")
    assert run.data.params["optimizer"] == "adam"
    assert run.data.params["pair"] == "coffee--starry-night"
    assert run.data.tags["nst.deterministic"] == "seeded"
    curve = client.get_metric_history(run.info.run_id, "loss/total")
    assert [point.step for point in curve] == [1, 2, 3, 4, 5, 6]
    assert run.data.metrics["final/ssim"] <= 1
    saved = client.get_metric_history(run.info.run_id, "loss/saved_total")
    assert [point.step for point in saved] == [1, 2, 5, 6]
    assert run.data.metrics["final/objective"] == pytest.approx(saved[-1].value, rel=1e-6)
    lowest = min(point.value for point in curve)
    assert run.data.metrics["final/objective_raw"] == pytest.approx(lowest, rel=1e-6)
    assert run.data.metrics["time/stylize_s"] > 0
    files = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert {"record.json", "trace.csv", "images"} <= files
    variants = {r.info.run_name: r for r in client.search_runs([summary.experiment_id])}
    assert {"identity", "gatys[lbfgs]", "gatys[adam]", "johnson[batch]"} <= set(variants)
    matrix = {f.path for f in client.list_artifacts(variants["gatys[adam]"].info.run_id, "images")}
    assert any("coffee--starry-night" in name for name in matrix)
    report = next(r for name, r in variants.items() if name.startswith("report"))
    assert {f.path for f in client.list_artifacts(report.info.run_id)} == {
        "report.html",
        "results.csv",
        "run.json",
        "suite.yaml",
        "inputs",
    }


def test_pull_renders_the_same_page_and_a_run_reuses_the_pulled_cells(
    out: Path, tmp_path: Path
) -> None:
    result = nstbench(
        "pull", "smoke", "--out", tmp_path, "--tracking-uri", f"sqlite:///{out}/mlflow.db"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    original, pulled = (folder / "smoke" / "report.html" for folder in (out, tmp_path))
    assert pulled.read_bytes() == original.read_bytes()
    plan = nstbench("plan", SMOKE, "--out", tmp_path, "--offline")
    assert f"0 to run, {CELLS} reused" in plan.stdout


def test_the_page_shows_every_cell_and_results_csv_has_every_row(out: Path) -> None:
    html = (out / "smoke" / "report.html").read_text(encoding="utf-8")
    from harness.store import Store

    cells = Store(out, "smoke").run().cells
    assert len(cells) == CELLS
    for cell_id in cells:
        assert html.count(f'id="cell-{cell_id}"') == 1
    assert "random weights" in html
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    with (out / "smoke" / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == CELLS


def test_a_repeated_run_runs_no_cell_and_adds_no_mlflow_run(out: Path) -> None:
    from mlflow import MlflowClient

    again = nstbench("run", SMOKE, "--out", out, "--offline")
    assert again.returncode == 0, again.stderr
    assert f"0 to run, {CELLS} reused" in again.stdout
    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == CELLS


def test_sync_is_safe_to_repeat_and_fills_an_empty_database(out: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'other.db'}"
    for _ in range(2):
        result = nstbench("sync", "smoke", "--out", out, "--tracking-uri", uri)
        assert result.returncode == 0, result.stderr
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == CELLS
    run = next(r for r in runs if r.info.run_name == "gatys[adam]/coffee--starry-night/s0")
    assert len(client.get_metric_history(run.info.run_id, "loss/total")) == 6


def test_an_override_plans_only_the_cells_that_it_changes(out: Path) -> None:
    result = nstbench(
        "plan", SMOKE, "--out", out, "--offline", "--set", "gatys.iterations=7", "--json"
    )
    cells = json.loads(result.stdout)["cells"]
    labels: dict[str, set[str]] = {"run": set(), "reuse": set()}
    for cell in cells:
        labels[cell["action"]].add(re.split(r"[\[/]", cell["name"])[0])
    assert labels["run"] == {"gatys"}
    assert labels["reuse"] == {"identity", "style_copy", "color_match", "johnson"}
    explained = nstbench(
        "plan", SMOKE, "--out", out, "--offline", "--set", "gatys.iterations=7", "--explain"
    )
    assert "(params.iterations: 6 -> 7)" in explained.stdout


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_has_help(command: str) -> None:
    result = nstbench(command, "--help")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 5
