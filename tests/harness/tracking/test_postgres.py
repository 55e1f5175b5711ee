"""MLflow on PostgreSQL as the server of a team: concurrent runs, and `pull` of all results."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store import Store
from harness.tracking import pull as mlflow_pull
from tests.helpers.command_line import nstbench
from tests.helpers.tracking import postgres_server
from tests.helpers.tracking.mlflow_server import (
    Server,
    after,
    drop_request,
    no_faults,
    running_proxy,
    running_server,
    status,
)
from tests.helpers.tracking.shared_results import SEEDS, fill, pull, send
from tests.helpers.tracking.tracked_store import assert_exactly_once

SUITE = """\
version: 1
name: {name}
encoder: random
contents: {{coffee: {{builtin: coffee}}, chelsea: {{builtin: chelsea}}}}
styles: {{grass: {{builtin: grass}}}}
methods:
  gatys: {{params: {{iterations: 12}}}}
  johnson: {{params: {{steps: 3, batch_size: 1, crop: 64}}}}
sizes: [{size}]
seeds: [0, 1, 2]
metrics: [ssim]
"""
CELLS = 2 * 2 * 3  # contents, methods, seeds
SUITES = {"morning": 64, "evening": 72}
RUNS_BEFORE_KILL = 6
"""Runs, of 28 in all, whose metrics the server has when it is killed."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with (
        postgres_server.running() as backend,
        running_server(Server(tmp_path_factory.mktemp("server"), backend=backend)) as server,
    ):
        yield server


def driver(suite: Path, out: Path, uri: str) -> subprocess.Popen[str]:
    """Start a process that runs a suite."""
    return subprocess.Popen(
        [sys.executable, "-m", "nstbench", "run", str(suite), "--out", str(out), "--offline"],
        env={**os.environ, "MLFLOW_TRACKING_URI": uri},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def sent(server: Server) -> int:
    log = (server.folder / "server.log").read_text(encoding="utf-8", errors="replace")
    return log.count("/runs/log-batch")


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files of a suite's folder by path, without trained networks and the lock."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    found = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {name: data for name, data in found.items() if not name.startswith("fits")}


@pytest.mark.slow
def test_two_concurrent_runs_survive_a_killed_server_and_pull_rebuilds_both_stores(
    server: Server, tmp_path: Path
) -> None:
    uri = f"http://127.0.0.1:{server.port}"
    drivers, stores = [], []
    for name, size in SUITES.items():
        suite = tmp_path / f"{name}.yaml"
        suite.write_text(SUITE.format(name=name, size=size), encoding="utf-8")
        drivers.append(driver(suite, tmp_path / name, uri))
        stores.append(Store(tmp_path / name, name))
    while sent(server) < RUNS_BEFORE_KILL and any(each.poll() is None for each in drivers):
        time.sleep(0.05)
    server.kill()
    server.start()
    for each in drivers:
        output = each.communicate(timeout=300)[0]
        assert each.returncode == 0, output
        assert "Traceback" not in output
    server.wait()
    for store in stores:
        result = nstbench("sync", store.suite, "--out", store.root.parent, "--tracking-uri", uri)
        assert result.returncode == 0, result.stderr
        records = store.all_records()
        assert len(records) == CELLS
        assert_exactly_once(uri, store, records)

    env, colleague = {"MLFLOW_TRACKING_URI": uri}, tmp_path / "colleague"
    for store in stores:
        result = nstbench("pull", store.suite, "--out", colleague, env=env)
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"cells: {CELLS} copied, 0 already present; runs: 1 copied" in result.stdout
        assert "new contents of a trained style train again" in result.stdout
        assert tree(colleague / store.suite) == tree(store.root)
    plan = nstbench("plan", tmp_path / "morning.yaml", "--out", colleague, "--offline")
    assert f"0 to run, {CELLS} reused" in plan.stdout


@pytest.mark.slow
def test_an_interrupted_pull_keeps_what_it_copied_and_the_next_one_continues(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setattr(mlflow_pull, "WORKERS", 1)  # one cell after another
    colleague, local = (
        Store(tmp_path / "colleague", "artists"),
        Store(tmp_path / "local", "artists"),
    )
    fill(colleague, range(SEEDS), "2026-02-01T00:00:00+00:00")
    send(colleague, f"http://127.0.0.1:{server.port}")
    with running_proxy(server.port) as proxy:
        proxy.plan = after(40, drop_request)  # about ten requests per cell
        result = pull(tmp_path / "local", proxy.url)
        assert (result.exit_code, type(result.exception)) == (2, SystemExit), result.output
        assert f"MLflow at {proxy.url}: " in result.stderr
        stored = len(local.all_records())
        assert 0 < stored < SEEDS - 2  # the store keeps what was copied
        refused = iter([status(403)])
        proxy.plan = lambda _, request: next(refused, None) if "trace.csv" in request else None
        result = pull(tmp_path / "local", proxy.url)
        assert result.exit_code == 3, result.output
        assert f"cells: {SEEDS - stored - 1} copied, {stored} already present" in result.stdout
        (line,) = (line for line in result.stdout.splitlines() if line.startswith("! left out"))
        assert "403" in line
        proxy.plan = no_faults
        result = pull(tmp_path / "local", proxy.url)
        assert result.exit_code == 0, result.output
        assert f"cells: 1 copied, {SEEDS - 1} already present; runs: 0 copied" in result.stdout
        assert tree(local.root).keys() == tree(colleague.root).keys()
        assert proxy.writes == []  # a pull only reads
