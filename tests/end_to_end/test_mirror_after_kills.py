"""After a kill, the next run sends to MLflow what the killed one stored and did not send."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.store import Store
from tests.helpers.command_line import nstbench
from tests.helpers.tracking.tracked_store import SUITE, assert_exactly_once

SEEDS = 7
CELLS = 2 * SEEDS


@pytest.mark.parametrize(
    "stored", [pytest.param(count, marks=pytest.mark.slow) for count in (3, 9, 12)] + [6]
)
def test_the_run_after_a_kill_completes_mlflow_with_each_run_once(
    stored: int, tables: Path, tmp_path: Path
) -> None:
    path, out = tmp_path / "killed.yaml", tmp_path / "x?y #1 100%"
    path.write_text(SUITE.format(name="killed", seeds=list(range(SEEDS))), encoding="utf-8")
    out.mkdir()
    (out / "mlflow.db").write_bytes(tables.read_bytes())
    store = Store(out, "killed")
    command = [sys.executable, "-m", "nstbench", "run", path, "--out", out]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while len(list(store.root.glob("cells/[!.]*/record.json"))) < stored:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    result = nstbench("run", path, "--out", out)
    assert result.returncode == 0, result.stdout + result.stderr
    records = list(store.records(store.run()))
    assert len(records) == CELLS
    quoted = f"sqlite+pysqlite:///{tmp_path}/x%3Fy %231 100%25/mlflow.db"
    assert_exactly_once(quoted, store, records)
    assert f"nstbench ui --out '{out}'" in result.stdout
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [path.name, out.name]
