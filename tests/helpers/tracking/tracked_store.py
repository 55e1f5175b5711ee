"""Small stores and suites, the runs that MLflow has of them, and processes that send them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from harness.records import Cell, EncoderUse, ImageUse, Record, Run, Score
from harness.store import Store
from harness.tracking.background_thread import BackgroundTracker
from harness.tracking.tracker import Tracker
from tests.helpers.command_line import nstbench
from tests.helpers.tracking.mlflow_server import Proxy

ENCODER = EncoderUse("e", "w", "o")
CELLS = 3
SUMMARY = 2  # runs: one variant, one report

TRACKING = """
import sys
from pathlib import Path
from harness.store import Store
from harness.tracking.tracker import Tracker
import mlflow.store.tracking.sqlalchemy_store
print("ready", flush=True)
out, suite, uri = sys.stdin.readline().split()
tracker = Tracker(Store(Path(out), suite), uri)
for record in tracker.store.all_records():
    tracker.cell(record)
"""
"""Program that sends the records of a store to MLflow; `send_store` selects the store."""

SUITE = """\
version: 1
name: {name}
encoder: random
contents: {{coffee: {{builtin: coffee}}}}
styles: {{grass: {{builtin: grass}}}}
methods: {{gatys: {{params: {{iterations: 3}}}}, style_copy: }}
sizes: [32]
seeds: {seeds}
metrics: [ssim]
"""


def record(seed: int) -> Record:
    image = ImageUse("x", "sha", "here")
    cell = Cell(
        "s", "v", "v", "gatys", 1, {"a": 1}, {}, image, image, 64, seed, ENCODER, "float32", "cpu"
    )
    scores = (Score("ssim", 0.5, "", "higher", "pixels"),)
    return Record(cell, "done", scores, started="2026-01-01T00:00:00+00:00")


def runs(uri: str, experiment: str = "s") -> list[Any]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id])) if found else []


def run_of(store: Store) -> Run:
    cells = tuple(record(seed).cell.id for seed in range(5))
    return Run("s", "", "", cells, (), ("ssim",), ENCODER, "cpu", "float32")


def sync(store: Store, uri: str) -> int:
    """Do what `nstbench sync` does; return the number of runs that were sent."""
    tracker = Tracker(store, uri, verify=True)
    records = store.all_records()
    for each in records:
        tracker.cell(each)
    tracker.variants(records)
    pages = store.page_paths() or [store.write_report("<html></html>")]
    tracker.report(run_of(store), records, pages)
    return tracker.sent


def assert_exactly_once(uri: str, store: Store, records: Sequence[Record]) -> None:
    """Assert that each record has one closed run, with each point once and its files unchanged."""
    client = MlflowClient(tracking_uri=uri)
    found = {run.data.tags["nst.cell"]: run for run in runs(uri, store.suite)}
    assert len(runs(uri, store.suite)) == len(found) == len(records)
    for each in records:
        run = found[each.cell.id]
        assert run.info.status == ("FINISHED" if each.ok else "FAILED")
        for key in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, key)
            assert len({point.step for point in history}) == len(history)
        trace = store.trace(each.cell.id)
        if trace:
            points = client.get_metric_history(run.info.run_id, "loss/total")
            assert len(points) == min(200, len(trace))
        assert stored_files(store, each) <= sent_files(client, run.info.run_id)
    summary = runs(uri, f"{store.suite}-summary")
    assert len(summary) == len({each.cell.variant for each in records}) + 1
    assert {run.info.status for run in summary} == {"FINISHED"}


def stored_files(store: Store, each: Record) -> set[str]:
    paths = (store.record_path(each.cell.id), store.trace_path(each.cell.id))
    image = store.image(each.cell.id)
    return {sha256(path) for path in (*paths, image) if path is not None and path.exists()}


def sent_files(client: MlflowClient, run_id: str) -> set[str]:
    with tempfile.TemporaryDirectory() as folder:
        client.download_artifacts(run_id, "", folder)
        return {sha256(path) for path in Path(folder).rglob("*") if path.is_file()}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def warning_of(store: Store, uri: str) -> str:
    """Send a suite to an address that fails; return the only warning."""
    warnings: list[str] = []
    tracker = BackgroundTracker(store, uri, warnings.append)
    tracker.wait_until_connected()
    assert warnings  # long before the retries of MLflow would end
    tracker.summary(run_of(store), store.all_records(), [store.write_report("<html></html>")])
    assert not tracker.working
    (warning,) = warnings
    assert "`nstbench sync`" in warning
    return warning


@contextmanager
def python(code: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program in a process that is killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def send_store(process: subprocess.Popen[str], store: Store, uri: str) -> None:
    """Let a process that runs TRACKING send a store to `uri`."""
    assert process.stdin is not None
    process.stdin.write(f"{store.root.parent} {store.suite} {uri}\n")
    process.stdin.flush()


class Case:
    """A suite of tiny cells, and the commands `run` and `sync` for it."""

    def __init__(self, folder: Path, name: str, seeds: int, proxy: Proxy) -> None:
        self.path, self.out, self.proxy = folder / f"{name}.yaml", folder / "out", proxy
        self.path.write_text(SUITE.format(name=name, seeds=list(range(seeds))), encoding="utf-8")
        self.cells = 2 * seeds
        self.store = Store(self.out, name)

    def run(self, env: dict[str, str] | None = None) -> list[str]:
        """Run the suite, assert that all results are stored; return the MLflow warnings."""
        result = self("run", self.path, "--offline", env=env)
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stderr == ""
        assert len(list(self.store.records(self.store.run()))) == self.cells
        assert all(each.ok for each in self.store.all_records())
        warnings = [line for line in result.stdout.splitlines() if line.startswith("! MLflow")]
        assert result.stdout.count("up to date") == len(warnings)  # each names the remedy
        assert "View run" not in result.stdout  # MLflow prints such a line per run by default
        return warnings

    def sync(self) -> int:
        """Complete MLflow, assert that a second `sync` sends nothing; return the runs sent."""
        result = self("sync", self.path)
        assert result.returncode == 0, result.stdout + result.stderr
        assert_exactly_once(self.proxy.url, self.store, self.store.all_records())
        self.proxy.requests.clear()
        assert self("sync", self.path).stdout.endswith(" 0 runs sent\n")
        assert self.proxy.writes == []
        return int(result.stdout.split(", ")[-1].split()[0])

    def __call__(
        self, command: str, *arguments: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return nstbench(
            command, *arguments, "--out", self.out, "--tracking-uri", self.proxy.url, env=env
        )
