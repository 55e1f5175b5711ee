"""Runs with failures: invalid suites, crashing methods, an unreachable MLflow server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.helpers import fake_packages
from tests.helpers.command_line import SMOKE, nstbench


def test_an_invalid_suite_exits_with_2_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(
        SMOKE.read_text(encoding="utf-8").replace("lbfgs, adam", "lbgfs, adam"), encoding="utf-8"
    )
    result = nstbench("run", path, "--out", tmp_path)
    assert result.returncode == 2
    assert f"{path}:" in result.stderr
    assert "'lbgfs' is not one of lbfgs, adam. Did you mean 'lbfgs'?" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "smoke").exists()


def test_the_error_for_an_unknown_suite_lists_the_packaged_ones() -> None:
    result = nstbench("run", "artist")
    assert result.returncode == 2
    assert "artists" in result.stderr


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

from nstbench import METHODS, Method


@METHODS.register("fragile")
@dataclass(frozen=True, kw_only=True)
class Fragile(Method):
    """Kills its process on one content."""

    version: ClassVar[int] = 1

    def fit(self, style, context):
        def stylize(content, context):
            if content.shape[-1] != content.shape[-2]:
                os.kill(os.getpid(), signal.SIGKILL)
            return content

        return stylize
'''


def run_failing(
    folder: Path, contents: str, methods: str, *options: str, env: dict[str, str]
) -> dict[str, Any]:
    """Run a suite with failing cells and return its records by name."""
    from harness.store import Store

    path = folder / "failing.yaml"
    path.write_text(f"""\
version: 1
name: failing
encoder: random
sizes: [64]
contents: {contents}
styles: {{grass: {{builtin: grass}}}}
methods: {methods}
metrics: [ssim]
""", encoding="utf-8")  # fmt: skip
    result = nstbench("run", path, "--out", folder, "--no-mlflow", *options, env=env)
    assert result.returncode == 3, result.stdout + result.stderr
    store = Store(folder, "failing")
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


def test_the_cells_of_a_crashed_batch_run_again_one_by_one(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    fake_packages.install(tmp_path / "site", "fragile", BATCHED)
    for name, level in (("dark", 10), ("grey", 100), ("light", 200)):
        Pillow.new("RGB", (64, 64), (level,) * 3).save(tmp_path / f"{name}.png")
    found = run_failing(
        tmp_path,
        "{dark: {path: dark.png}, grey: {path: grey.png}, light: {path: light.png}}",
        "{fragile: , gatys: {params: {iterations: 3}}}",
        "--batch-cells",
        env=fake_packages.path(tmp_path / "site"),
    )
    records = {name.split("/s0")[0]: record for name, record in found.items()}
    assert {name for name, r in records.items() if not r.ok} == {"fragile/dark--grass"}
    shared = {name: r.timing.shared_by for name, r in records.items() if r.timing}
    assert shared["fragile/grey--grass"] == 1  # it ran again, alone
    assert shared["gatys/dark--grass"] == shared["gatys/light--grass"] == 3
    page = (tmp_path / "failing" / "report.html").read_text(encoding="utf-8")
    assert "up to 3 cells ran in one batch" in page


def test_an_unreachable_server_gives_a_warning_and_loses_no_result(tmp_path: Path) -> None:
    path = tmp_path / "brief.yaml"
    path.write_text(BRIEF, encoding="utf-8")
    result = nstbench("run", path, "--out", tmp_path, "--tracking-uri", "http://127.0.0.1:1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nstbench sync" in result.stdout
    assert "Traceback" not in result.stderr
    assert (tmp_path / "brief" / "report.html").exists()
