"""MLflow fails in many ways: no result is lost, there is one warning, and `sync` completes it."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from harness.records import Record, TracePoint
from harness.resources.images import to_png
from harness.store import Store
from harness.tracking import background_thread
from harness.tracking import client as mlflow_client
from harness.tracking.background_thread import BackgroundTracker
from harness.tracking.tracker import Tracker
from tests.harness.tracking.test_background_thread import record, run_of, runs
from tests.helpers.command_line import nstbench
from tests.helpers.mlflow_server import (
    Fault,
    Passing,
    Plan,
    Proxy,
    Server,
    after,
    cut_answer,
    hang,
    keep_answer,
    kill,
    late,
    lose,
    lose_answer,
    proxied,
    say,
    serving,
    some,
    status,
    well,
)

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
STUCK = """
import time, mlflow
def log_batch(*_, **__):
    print("stuck", flush=True)
    time.sleep(600)
mlflow.MlflowClient.log_batch = log_batch
"""


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


@pytest.fixture(scope="module")
def other() -> Iterator[subprocess.Popen[str]]:
    """A process that will hang while it sends a record, shared since its imports take long."""
    with python(STUCK + TRACKING) as process:
        yield process


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a few small records."""
    store = Store(tmp_path, "s")
    trace = [TracePoint("stylize", i, 0.1 * i, {"total": 1 / i}) for i in range(1, 9)]
    for seed in range(CELLS):
        pixels = np.full((20, 30, 3), seed, np.uint8)
        store.write(record(seed), to_png(pixels), trace, {1: to_png(pixels)})
    return store


@pytest.fixture
def uri(tables: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(tables, tmp_path / 'mlflow.db')}"


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


def go(process: subprocess.Popen[str], store: Store, uri: str) -> None:
    """Tell a process that runs TRACKING which store to send, and where."""
    assert process.stdin is not None
    process.stdin.write(f"{store.root.parent} {store.suite} {uri}\n")
    process.stdin.flush()


def test_open_runs_of_crashed_processes_are_replaced_and_those_of_running_ones_stay(
    other: subprocess.Popen[str], store: Store, uri: str
) -> None:
    go(other, store, uri)
    assert other.stdout is not None
    assert [other.stdout.readline() for _ in range(2)] == ["ready\n", "stuck\n"]
    Tracker(store, uri)
    assert [run.info.status for run in runs(uri)] == ["RUNNING"]
    other.kill()
    other.wait()
    Tracker(store, uri)
    (killed,) = runs(uri)
    assert killed.info.status == "KILLED"
    assert killed.info.end_time
    assert sync(store, uri) == CELLS + SUMMARY
    assert_exactly_once(uri, store, store.all_records())


def test_an_open_run_of_another_machine_is_closed_after_an_hour(store: Store, uri: str) -> None:
    experiment = Tracker(store, uri).cells
    tags = {"nst.key": "x", "nst.host": "elsewhere", "nst.pid": "1"}
    client = MlflowClient(tracking_uri=uri)
    for minutes in (59, 61):
        start = {"nst.begun": str(round(time.time()) - 60 * minutes)}
        client.create_run(experiment, tags=tags | start, run_name=str(minutes))
    Tracker(store, uri)
    found = {run.info.run_name: run.info.status for run in runs(uri)}
    assert found == {"59": "RUNNING", "61": "KILLED"}


def test_requests_repeated_after_a_lost_response_leave_no_duplicates(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("create_experiment", "create_run", "log_batch", "delete_run", "set_terminated"):
        monkeypatch.setattr(MlflowClient, name, twice(getattr(MlflowClient, name)))
    assert sync(store, uri) == CELLS + SUMMARY
    assert_exactly_once(uri, store, store.all_records())
    assert sync(store, uri) == 0


def twice(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls `call` twice, as MLflow does after a lost response."""

    def done(*args: Any, **options: Any) -> Any:
        call(*args, **options)
        return call(*args, **options)

    return done


def test_of_two_trackers_of_one_store_the_runs_of_one_stay(store: Store, uri: str) -> None:
    trackers = [Tracker(store, uri) for _ in range(2)]  # neither has seen the runs of the other
    for tracker in trackers:
        for each in store.all_records():
            tracker.cell(each)
    assert len(runs(uri)) == 2 * CELLS
    assert sync(store, uri) == SUMMARY
    assert_exactly_once(uri, store, store.all_records())


def test_a_complete_run_that_is_still_open_is_closed(store: Store, uri: str) -> None:
    sync(store, uri)
    (run, *_) = runs(uri)
    MlflowClient(tracking_uri=uri).update_run(run.info.run_id, status="RUNNING")
    assert sync(store, uri) == 0
    assert {run.info.status for run in runs(uri)} == {"FINISHED"}


def test_sync_sends_runs_with_missing_files_again_and_then_changes_nothing(
    store: Store, uri: str, tmp_path: Path
) -> None:
    sync(store, uri)
    curves = sorted((tmp_path / "artifacts" / "s").rglob("trace.csv"))
    curves[0].unlink()
    curves[1].write_bytes(curves[1].read_bytes()[:-1])
    shutil.rmtree(curves[2].parent)
    assert Tracker(store, uri)._known  # without `verify`, files are not listed
    assert sync(store, uri) == 3
    assert_exactly_once(uri, store, store.all_records())
    before = {path: sha256(path) for path in tmp_path.rglob("*") if path.is_file()}
    assert sync(store, uri) == 0
    assert before == {path: sha256(path) for path in tmp_path.rglob("*") if path.is_file()}


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


def test_a_file_that_is_not_a_database_of_this_mlflow_is_reported_at_once(
    store: Store, uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.db").write_bytes(random.Random(1).randbytes(5000))
    assert "file is not a database" in warning_of(store, f"sqlite:///{tmp_path / 'noise.db'}")
    assert "unable to open" in warning_of(store, f"sqlite:///{store.root}")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    other = shutil.copy(tmp_path / "mlflow.db", tmp_path / "other.db")
    assert "found version ffffffffffff" in warning_of(store, uri)
    with closing(sqlite3.connect(other)) as file, file:
        file.execute("DROP TABLE assessments")
    assert "upgrade MLflow" in warning_of(store, f"sqlite:///{other}")
    assert capfd.readouterr() == ("", "")  # MLflow itself prints nothing


def retry_in_an_hour(request: Passing) -> None:
    request.send_response(503)
    for key, value in {"Retry-After": "3600", "Content-Length": "0"}.items():
        request.send_header(key, value)
    request.end_headers()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (hang, "Read timed out"),
        (lose, "closed connection"),
        (status(500), "too many 500 error responses"),
        (status(429), "too many 429 error responses"),
        (retry_in_an_hour, "too many 503 error responses"),
        (status(404), "404"),
        (say(b"<html>It works!</html>"), "It works!"),
    ],
)
def test_a_server_that_does_not_work_is_reported_in_bounded_time_with_the_reason(
    fault: Fault, why: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_client, "BRIEF_SECONDS", 1)
    with proxied(port=9) as proxy:
        proxy.plan = lambda number, request: fault
        warning = warning_of(store, proxy.url)
    assert why in warning
    assert len(proxy.asked) <= 2
    assert len(warning) < 400


def test_a_slow_summary_calls_on_slow(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(background_thread, "MOMENT_SECONDS", 0.05)
    monkeypatch.setattr(Tracker, "variants", lambda self, records: go_on.wait(60))
    tracker = BackgroundTracker(store, uri, pytest.fail)
    tracker.summary(run_of(store), [], store.page_paths(), on_slow=go_on.set)
    assert go_on.is_set()


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


class Case:
    """A suite of tiny cells, and the commands `run` and `sync` for it."""

    def __init__(self, folder: Path, name: str, seeds: int, proxy: Proxy) -> None:
        self.path, self.out, self.proxy = folder / f"{name}.yaml", folder / "out", proxy
        self.path.write_text(SUITE.format(name=name, seeds=list(range(seeds))), encoding="utf-8")
        self.cells = 2 * seeds
        self.store = Store(self.out, name)

    def run(self, env: dict[str, str] | None = None) -> list[str]:
        """Run the suite, assert that all results are stored; return the MLflow warnings."""
        done = self("run", self.path, "--offline", env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert len(list(self.store.records(self.store.run()))) == self.cells
        assert all(each.ok for each in self.store.all_records())
        warnings = [line for line in done.stdout.splitlines() if line.startswith("! MLflow")]
        assert done.stdout.count("up to date") == len(warnings)  # each names the remedy
        assert "View run" not in done.stdout  # MLflow prints such a line per run by default
        return warnings

    def sync(self) -> int:
        """Complete MLflow, assert that a second `sync` sends nothing; return the runs sent."""
        done = self("sync", self.path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert_exactly_once(self.proxy.url, self.store, self.store.all_records())
        self.proxy.asked.clear()
        assert self("sync", self.path).stdout.endswith(" 0 runs sent\n")
        assert self.proxy.writes == []
        return int(done.stdout.split(", ")[-1].split()[0])

    def __call__(
        self, command: str, *arguments: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return nstbench(
            command, *arguments, "--out", self.out, "--tracking-uri", self.proxy.url, env=env
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`mlflow server`."""
    with serving(Server(tmp_path_factory.mktemp("server"))) as server:
        yield server


FIRST = 25
"""Requests before the fault, of about 60: the files of the third cell are then being sent."""

PLANS: dict[str, tuple[Plan, int]] = {  # with the number of warnings
    "down at start": (well, 1),
    "hangs at start": (after(0, hang), 1),
    "hangs later": (after(FIRST, hang), 1),
    "dies later": (after(FIRST, lose), 1),
    "errors later": (after(FIRST, status(500)), 1),
    "asks to wait": (after(FIRST, retry_in_an_hour), 1),
    "comes back": (lambda number, _: lose if FIRST < number < FIRST + 3 else None, 0),
    "no room for artifacts": (lambda _, request: status(500) if "PUT" in request else None, 1),
    "forbids artifacts": (lambda _, request: status(403) if "PUT" in request else None, 1),
    "loses requests": (some(lose, "create", "log-batch", "update", "PUT"), 0),
    "loses answers": (some(lose_answer, "create", "log-batch", "update", "PUT"), 0),
    "cuts answers": (some(cut_answer, "log-batch"), 1),
    "slow": (after(0, late(0.5)), 0),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_the_run_succeeds_whatever_the_server_does_and_sync_completes_it(
    name: str, server: Server, tmp_path: Path
) -> None:
    with proxied(server.port) as proxy:
        case = Case(tmp_path, name.replace(" ", "-"), 2, proxy)
        proxy.plan, warnings = PLANS[name]
        if name == "down at start":
            proxy.down()
        begin = time.monotonic()
        said = case.run({"MLFLOW_HTTP_REQUEST_TIMEOUT": "2"})
        took = time.monotonic() - begin
        assert len(said) == warnings, said
        if name == "down at start":
            proxy.up()
        proxy.plan = well
        sent = case.sync()
        print(f"| {name} | {took:.0f} s | {(said or ['-'])[0][:120]} | {sent} |")


@pytest.mark.slow
def test_after_ten_kills_of_the_server_every_run_exists_exactly_once(
    server: Server, tmp_path: Path
) -> None:
    chance, begin, commands = random.Random(20), time.monotonic(), 0
    kills: list[str] = []
    with proxied(server.port) as proxy:
        case = Case(tmp_path, "ten-kills", 10, proxy)
        next_kill = chance.randint(1, 20)

        def plan(number: int, request: str) -> Fault | None:
            nonlocal next_kill
            if len(kills) == 10 or len(proxy.writes) < next_kill:
                return None
            when, anew = chance.choice(["before", "amid", "after"]), chance.random() < 0.5
            kills.append(f"killed {when} {request}, {'started at once' if anew else 'left dead'}")
            next_kill = len(proxy.writes) + chance.randint(1, 20)
            return kill(server, when, anew=anew)

        proxy.plan = plan
        while len(kills) < 10:
            server.start()
            server.wait()
            if commands == 0:
                assert len(case.run()) <= 1
            else:
                assert case("sync", case.path).returncode in {0, 2}
            commands += 1
        server.start()
        server.wait()
        sent = case.sync()
    print("\n".join(kills))
    print(f"{commands} commands and a last sync, which sent {sent} of {case.cells + 3}; "
          f"{time.monotonic() - begin:.0f} s in all")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("place", ["runs/create", "PUT", "log-batch", "runs/update"])
def test_sync_completes_the_runs_of_a_process_killed_while_it_waited_for_a_response(
    place: str, server: Server, tmp_path: Path
) -> None:
    with proxied(server.port) as proxy, python(TRACKING) as process:
        case = Case(tmp_path, "killed-" + place.rpartition("/")[2].lower(), 2, proxy)
        assert case("run", case.path, "--offline", "--no-mlflow").returncode == 0
        proxy.asked.clear()
        proxy.plan = lambda _, request: keep_answer if place in request else None
        go(process, case.store, proxy.url)
        while not any(place in request for request in proxy.asked):
            time.sleep(0.05)
        time.sleep(0.5)  # the request may have been processed or not
        process.kill()
        process.wait()
        proxy.down()
        proxy.plan = well
        proxy.up()
        case.sync()


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """Mount a small disk at a folder; yield a function that changes its mount options."""
    folder.mkdir(exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", folder], check=True
        )
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_full_disk_under_the_artifacts_of_a_server_costs_a_warning(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    server.folder.mkdir()
    with disk(server.folder / "artifacts", "40k") as change:
        server.start()
        try:
            server.wait()
            with proxied(server.port) as proxy:
                case = Case(tmp_path, "full", 3, proxy)
                (said,) = case.run()
                assert "too many 500 error responses (/api/2.0/mlflow-artifacts" in said
                change("size=20m")
                assert case.sync() > 0
        finally:
            server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full", "readonly", "locked"])
def test_a_database_that_cannot_be_written_costs_a_warning(
    fault: str, store: Store, tables: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with disk(tmp_path / "disk", "1000k") as change:
        path = Path(shutil.copy(tables, tmp_path / "disk" / "mlflow.db"))
        uri = f"sqlite:///{path}"
        if fault == "readonly":
            change("ro")
        with closing(sqlite3.connect(path, isolation_level=None)) as another:
            if fault == "locked":
                another.execute("BEGIN IMMEDIATE")
            if fault == "full":
                (path.parent / "rest").write_bytes(bytes(shutil.disk_usage(path.parent).free))
            assert fault in warning_of(store, uri)
        change("rw,size=20m")
        store.write_run(run_of(store))
        done = nstbench("sync", "s", "--out", tmp_path, "--tracking-uri", uri)
        assert done.returncode == 0, done.stderr
        assert_exactly_once(uri, store, store.all_records())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_two_processes_can_create_one_database_at_once(store: Store, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new.db'}"
    with python(TRACKING) as one, python(TRACKING) as two:
        for process in (one, two):
            assert process.stdout is not None
            process.stdout.readline()
        for process in (one, two):
            go(process, store, uri)
        assert [process.wait(120) for process in (one, two)] == [0, 0]
    assert not list(tmp_path.glob(".*"))
    sync(store, uri)
    assert_exactly_once(uri, store, store.all_records())
