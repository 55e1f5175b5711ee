"""A failing MLflow server: results are stored, there is one warning, and `sync` completes it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store import Store
from harness.tracking import background_thread
from harness.tracking import client as mlflow_client
from harness.tracking.background_thread import BackgroundTracker
from harness.tracking.tracker import Tracker
from tests.helpers.disks import mounted
from tests.helpers.tracking.mlflow_server import (
    Fault,
    Plan,
    ProxiedRequest,
    Server,
    after,
    delayed,
    drop_request,
    drop_response,
    every_third,
    hang,
    kill,
    no_faults,
    respond_with,
    running_proxy,
    running_server,
    status,
    truncate_response,
    withhold_response,
)
from tests.helpers.tracking.tracked_store import (
    TRACKING,
    Case,
    python,
    run_of,
    send_store,
    warning_of,
)


def retry_in_an_hour(request: ProxiedRequest) -> None:
    request.send_response(503)
    for key, value in {"Retry-After": "3600", "Content-Length": "0"}.items():
        request.send_header(key, value)
    request.end_headers()


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (hang, "Read timed out"),
        (drop_request, "closed connection"),
        (status(500), "too many 500 error responses"),
        (status(429), "too many 429 error responses"),
        (retry_in_an_hour, "too many 503 error responses"),
        (status(404), "404"),
        (respond_with(b"<html>It works!</html>"), "It works!"),
    ],
)
def test_a_server_that_does_not_work_is_reported_in_bounded_time_with_the_reason(
    fault: Fault, why: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_client, "BRIEF_SECONDS", 1)
    with running_proxy(port=9) as proxy:
        proxy.plan = lambda number, request: fault
        warning = warning_of(store, proxy.url)
    assert why in warning
    assert len(proxy.requests) <= 2
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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`mlflow server`."""
    with running_server(Server(tmp_path_factory.mktemp("server"))) as server:
        yield server


FIRST = 25
"""Requests before the fault, of about 60, while the files of the third cell are sent."""

PLANS: dict[str, tuple[Plan, int]] = {  # with the number of expected warnings
    "down at start": (no_faults, 1),
    "hangs at start": (after(0, hang), 1),
    "hangs later": (after(FIRST, hang), 1),
    "closes connections later": (after(FIRST, drop_request), 1),
    "responds with errors later": (after(FIRST, status(500)), 1),
    "asks to wait": (after(FIRST, retry_in_an_hour), 1),
    "recovers": (lambda number, _: drop_request if FIRST < number < FIRST + 3 else None, 0),
    "cannot store artifacts": (lambda _, request: status(500) if "PUT" in request else None, 1),
    "refuses artifacts": (lambda _, request: status(403) if "PUT" in request else None, 1),
    "loses requests": (every_third(drop_request, "create", "log-batch", "update", "PUT"), 0),
    "loses responses": (every_third(drop_response, "create", "log-batch", "update", "PUT"), 0),
    "truncates responses": (every_third(truncate_response, "log-batch"), 1),
    "slow": (after(0, delayed(0.5)), 0),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANS)
def test_a_run_succeeds_with_every_fault_of_the_server_and_sync_completes_it(
    name: str, server: Server, tmp_path: Path
) -> None:
    with running_proxy(server.port) as proxy:
        case = Case(tmp_path, name.replace(" ", "-"), 2, proxy)
        proxy.plan, expected = PLANS[name]
        if name == "down at start":
            proxy.down()
        start = time.monotonic()
        warnings = case.run({"MLFLOW_HTTP_REQUEST_TIMEOUT": "2"})
        seconds = time.monotonic() - start
        assert len(warnings) == expected, warnings
        if name == "down at start":
            proxy.up()
        proxy.plan = no_faults
        sent = case.sync()
        print(f"| {name} | {seconds:.0f} s | {(warnings or ['-'])[0][:120]} | {sent} |")


@pytest.mark.slow
def test_after_ten_kills_of_the_server_every_run_exists_exactly_once(
    server: Server, tmp_path: Path
) -> None:
    rng, start, commands = random.Random(20), time.monotonic(), 0
    kills: list[str] = []
    with running_proxy(server.port) as proxy:
        case = Case(tmp_path, "ten-kills", 10, proxy)
        next_kill = rng.randint(1, 20)

        def plan(number: int, request: str) -> Fault | None:
            nonlocal next_kill
            if len(kills) == 10 or len(proxy.writes) < next_kill:
                return None
            when, restart = rng.choice(["before", "during", "after"]), rng.random() < 0.5
            kills.append(
                f"killed {when} {request}, {'restarted at once' if restart else 'not restarted'}"
            )
            next_kill = len(proxy.writes) + rng.randint(1, 20)
            return kill(server, when, restart=restart)

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
          f"{time.monotonic() - start:.0f} s in all")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("place", ["runs/create", "PUT", "log-batch", "runs/update"])
def test_sync_completes_the_runs_of_a_process_killed_while_it_waited_for_a_response(
    place: str, server: Server, tmp_path: Path
) -> None:
    with running_proxy(server.port) as proxy, python(TRACKING) as process:
        case = Case(tmp_path, "killed-" + place.rpartition("/")[2].lower(), 2, proxy)
        assert case("run", case.path, "--offline", "--no-mlflow").returncode == 0
        proxy.requests.clear()
        proxy.plan = lambda _, request: withhold_response if place in request else None
        send_store(process, case.store, proxy.url)
        while not any(place in request for request in proxy.requests):
            time.sleep(0.05)
        time.sleep(0.5)  # the request may have been processed or not
        process.kill()
        process.wait()
        proxy.down()
        proxy.plan = no_faults
        proxy.up()
        case.sync()


@pytest.mark.slow
def test_a_full_disk_under_the_artifacts_of_a_server_gives_a_warning(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    server.folder.mkdir()
    with mounted(server.folder / "artifacts", "40k") as change:
        server.start()
        try:
            server.wait()
            with running_proxy(server.port) as proxy:
                case = Case(tmp_path, "full", 3, proxy)
                (warning,) = case.run()
                assert "too many 500 error responses (/api/2.0/mlflow-artifacts" in warning
                change("size=20m")
                assert case.sync() > 0
        finally:
            server.kill()
