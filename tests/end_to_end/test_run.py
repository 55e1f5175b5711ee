"""The main job, end to end: real processes, a real MLflow database, a real page."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import fake_packages

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "suites" / "smoke.yaml"
CELLS = 2 * (3 + 2 + 2)  # pairs x (anchors, gatys, johnson)


def nstbench(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nstbench", *map(str, arguments)],
        capture_output=True, text=True, timeout=280, check=False, env={**os.environ, **(env or {})},
    )  # fmt: skip


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the smoke suite, run once."""
    folder = tmp_path_factory.mktemp("out")
    done = nstbench("run", SMOKE, "--out", folder, "--offline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{CELLS} to run, 0 reused" in done.stdout
    assert done.stdout.rstrip().endswith(str(folder / "smoke" / "report.html"))
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
        assert lpips.value is None  # never a number from random weights
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


def test_mlflow_holds_flat_cells_with_curves_and_images_and_the_summary(out: Path) -> None:
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


def test_a_colleague_makes_the_same_page_from_mlflow_alone_and_goes_on_from_there(
    out: Path, tmp_path: Path
) -> None:
    done = nstbench(
        "pull", "smoke", "--out", tmp_path, "--tracking-uri", f"sqlite:///{out}/mlflow.db"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    theirs, ours = (folder / "smoke" / "report.html" for folder in (out, tmp_path))
    assert ours.read_bytes() == theirs.read_bytes()
    plan = nstbench("plan", SMOKE, "--out", tmp_path, "--offline")
    assert f"0 to run, {CELLS} reused" in plan.stdout


def test_the_page_shows_every_cell_and_the_table_has_every_row(out: Path) -> None:
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


def test_the_same_command_again_runs_nothing_and_doubles_nothing(out: Path) -> None:
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
        done = nstbench("sync", "smoke", "--out", out, "--tracking-uri", uri)
        assert done.returncode == 0, done.stderr
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == CELLS
    run = next(r for r in runs if r.info.run_name == "gatys[adam]/coffee--starry-night/s0")
    assert len(client.get_metric_history(run.info.run_id, "loss/total")) == 6


def test_set_of_one_parameter_plans_only_the_cells_it_touches(out: Path) -> None:
    done = nstbench(
        "plan", SMOKE, "--out", out, "--offline", "--set", "gatys.iterations=7", "--json"
    )
    cells = json.loads(done.stdout)["cells"]
    labels: dict[str, set[str]] = {"run": set(), "reuse": set()}
    for cell in cells:
        labels[cell["action"]].add(re.split(r"[\[/]", cell["name"])[0])
    assert labels["run"] == {"gatys"}
    assert labels["reuse"] == {"identity", "style_copy", "color_match", "johnson"}
    explained = nstbench(
        "plan", SMOKE, "--out", out, "--offline", "--set", "gatys.iterations=7", "--explain"
    )
    assert "(params.iterations: 6 -> 7)" in explained.stdout


def test_a_wrong_suite_ends_with_2_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        SMOKE.read_text(encoding="utf-8").replace("lbfgs, adam", "lbgfs, adam"), encoding="utf-8"
    )
    done = nstbench("run", path, "--out", tmp_path)
    assert done.returncode == 2
    assert f"{path}:" in done.stderr
    assert "'lbgfs' is not one of lbfgs, adam. Did you mean 'lbfgs'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "smoke").exists()


def test_a_suite_that_does_not_exist_names_those_that_come_along() -> None:
    done = nstbench("run", "artist")
    assert done.returncode == 2
    assert "artists" in done.stderr


BRIEF = """\
version: 1
name: brief
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
methods:
  identity:
  gatys: {params: {optimizer: adam, iterations: 2}}
metrics: [ssim]
"""


PLUGIN = '''\
import os
import signal
from dataclasses import dataclass
from typing import ClassVar

from nstbench import METHODS


@METHODS.register("fragile")
@dataclass(frozen=True, kw_only=True)
class Fragile:
    """Dies on one content."""

    version: ClassVar[int] = 1

    def fit(self, style, context):
        def stylize(content, context):
            if content.shape[-1] != content.shape[-2]:
                os.kill(os.getpid(), signal.SIGKILL)
            return content

        return stylize
'''


def run_frail(
    folder: Path, contents: str, methods: str, *options: str, env: dict[str, str]
) -> dict[str, Any]:
    """Run a suite of which some cells fail; return its records by name."""
    from harness.store import Store

    path = folder / "frail.yaml"
    path.write_text(f"""\
version: 1
name: frail
encoder: random
sizes: [64]
contents: {contents}
styles: {{grass: {{builtin: grass}}}}
methods: {methods}
metrics: [ssim]
""", encoding="utf-8")  # fmt: skip
    done = nstbench("run", path, "--out", folder, "--no-mlflow", *options, env=env)
    assert done.returncode == 3, done.stdout + done.stderr
    store = Store(folder, "frail")
    return {record.cell.name: record for record in store.records(store.run())}


BATCHED = PLUGIN.replace(
    "    def fit(self",
    """    mixes_styles: ClassVar[bool] = True

    def stylize_batch(self, stylizers, contents, contexts):
        if contents.mean((1, 2, 3)).min() < 0.1:
            os.kill(os.getpid(), signal.SIGKILL)
        return contents

    def fit(self""",
).replace("content.shape[-1] != content.shape[-2]", "content.mean() < 0.1")


def test_a_batch_that_crashes_is_run_again_cell_by_cell(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    fake_packages.install(tmp_path / "site", "fragile", BATCHED)
    for name, level in (("dark", 10), ("grey", 100), ("light", 200)):
        Pillow.new("RGB", (64, 64), (level,) * 3).save(tmp_path / f"{name}.png")
    found = run_frail(
        tmp_path,
        "{dark: {path: dark.png}, grey: {path: grey.png}, light: {path: light.png}}",
        "{fragile: , gatys: {params: {iterations: 3}}}",
        "--batch-cells",
        env=fake_packages.path(tmp_path / "site"),
    )
    records = {name.split("/s0")[0]: record for name, record in found.items()}
    assert {name for name, r in records.items() if not r.ok} == {"fragile/dark--grass"}
    shared = {name: r.timing.shared_by for name, r in records.items() if r.timing}
    assert shared["fragile/grey--grass"] == 1  # each ran again, alone
    assert shared["gatys/dark--grass"] == shared["gatys/light--grass"] == 3
    page = (tmp_path / "frail" / "report.html").read_text(encoding="utf-8")
    assert "Up to 3 cells ran in one batch" in page


def test_an_unreachable_server_costs_a_warning_and_no_result(tmp_path: Path) -> None:
    path = tmp_path / "brief.yaml"
    path.write_text(BRIEF, encoding="utf-8")
    done = nstbench("run", path, "--out", tmp_path, "--tracking-uri", "http://127.0.0.1:1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nstbench sync" in done.stdout
    assert "Traceback" not in done.stderr
    assert (tmp_path / "brief" / "report.html").exists()


@pytest.mark.parametrize(
    "command", ["run", "plan", "report", "list", "check", "sync", "pull", "ui"]
)
def test_every_command_has_help(command: str) -> None:
    done = nstbench(command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5


STAND_IN = """\
version: 1
name: standin
encoder: random
contents: {{coffee: {{builtin: coffee}}}}
styles:
  wave: {{url: "https://example.org/wave.png", sha256: {sha256}, stand_in: great-wave}}
methods: {{style_copy: }}
sizes: [64]
metrics: [ssim]
"""


def test_stand_ins_are_named_everywhere_and_never_share_a_record_with_the_real_thing(
    tmp_path: Path,
) -> None:
    import hashlib

    from mlflow import MlflowClient
    from PIL import Image as Pillow

    from harness.store import Store

    (tmp_path / "mirror").mkdir()
    Pillow.linear_gradient("L").convert("RGB").save(tmp_path / "mirror" / "wave.png")
    sha256 = hashlib.sha256((tmp_path / "mirror" / "wave.png").read_bytes()).hexdigest()
    suite = tmp_path / "standin.yaml"
    suite.write_text(STAND_IN.format(sha256=sha256))
    out, page = tmp_path / "out", tmp_path / "out" / "standin" / "report.html"
    arguments = ("run", suite, "--out", out, "--offline")

    first = nstbench(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Stand-ins for wave" in first.stdout
    store = Store(out, "standin")
    (painted,) = store.records(store.run())
    assert painted.cell.style.stand_in == "great-wave"
    assert "--offline was given" in painted.cell.style.why_stand_in
    assert "stand-in" in page.read_text()

    second = nstbench(*arguments, "--mirror", tmp_path / "mirror")
    assert "1 to run, 0 reused" in second.stdout
    assert "Stand-ins" not in second.stdout
    (real,) = store.records(store.run())
    assert real.cell.style.stand_in is None
    assert real.cell.id != painted.cell.id
    kept = store.read(painted.cell.id)  # both are
    assert kept is not None
    assert (kept.cell.style, kept.scores) == (painted.cell.style, painted.scores)

    client = MlflowClient(tracking_uri=f"sqlite:///{out / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("standin")
    assert experiment is not None
    tags = {run.data.tags["nst.cell"]: run.data.tags
            for run in client.search_runs([experiment.experiment_id])}  # fmt: skip
    assert tags[painted.cell.id]["nst.stand_in"] == "great-wave"
    assert "nst.stand_in" not in tags[real.cell.id]

    again = nstbench("plan", *arguments[1:])
    assert "0 to run, 1 reused" in again.stdout
