"""`nstbench ui`: errors before it starts, and a real server in a real browser."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

from harness.errors import UsageError
from harness.records import Cell, EncoderUse, ImageUse, Record, Score, TracePoint
from harness.resources.images import to_png
from harness.store import Store
from harness.tracking import ui
from harness.tracking.tracker import Tracker
from tests.helpers.browser import launched
from tests.helpers.tracking.mlflow_server import free_port

PATIENCE = 60_000
"""Timeout in milliseconds for one step of the UI on a busy machine."""


@pytest.fixture
def port() -> int:
    """A free port."""
    return free_port()


def test_a_missing_database_is_an_error_and_is_not_created(tmp_path: Path, port: int) -> None:
    uri = f"sqlite:///{tmp_path / 'no' / 'mlflow.db'}"
    with pytest.raises(UsageError, match=r"no/mlflow\.db does not exist\. .*`nstbench sync SUITE`"):
        ui.check(uri, port)
    assert list(tmp_path.iterdir()) == []


def test_the_address_of_a_server_is_an_error(port: int) -> None:
    with pytest.raises(UsageError, match=r"http://lab:5000 is a server and has its own UI"):
        ui.check("http://lab:5000", port)


def test_a_port_in_use_is_an_error_that_suggests_another(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    database.touch()
    with socket.create_server(("127.0.0.1", 0)) as server:
        used_port = server.getsockname()[1]
        with pytest.raises(
            UsageError, match=rf"Port {used_port} of 127\.0\.0\.1 .*`--port \d+` selects"
        ):
            ui.check(f"sqlite:///{database}", used_port)
    ui.check(f"sqlite:///{database}", used_port)
    # The empty database has no views.
    assert len(list(ui.links(f"sqlite:///{database}", used_port))) == 1


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with two variants of two pairs, in a store and in MLflow."""
    store, records = Store(tmp_path, "s"), []
    style = ImageUse("wave", "w", "here")
    for variant, content in product(("adam", "lbfgs"), ("cat", "cup")):
        image = ImageUse(content, content, "here")
        cell = Cell("s", variant, variant, "gatys", 1, {"variant": variant}, {}, image, style,
                    64, 0, EncoderUse("e", "w", "o"), "float32", "cpu")  # fmt: skip
        scores = tuple(
            Score(name, 0.5, "", "lower", "x") for name in ("content_loss", "style_loss")
        )
        records.append(Record(cell, "done", scores, started="2026-01-01T00:00:00+00:00"))
        trace = [TracePoint("stylize", i, 0.1 * i, {"total": 1 / i}) for i in range(1, 9)]
        store.write(records[-1], to_png(np.zeros((40, 60, 3), np.uint8)), trace)
    tracker = Tracker(store, f"sqlite:///{tmp_path / 'mlflow.db'}")
    for record in records:
        tracker.cell(record)
    tracker.variants(records)
    return tmp_path


@pytest.mark.slow
def test_both_views_open_in_a_browser_and_ctrl_c_ends_the_server(out: Path, port: int) -> None:
    from playwright.sync_api import expect

    command = [sys.executable, "-m", "nstbench", "ui", "--out", str(out), "--port", str(port)]
    log = out / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, stdout=file, stderr=file,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        links = dict(ui.links(f"sqlite:///{out / 'mlflow.db'}", port))
        assert all(link in log.read_text() for link in links.values())
        with launched() as browser:
            window = browser.new_page(viewport={"width": 1440, "height": 1600})
            window.goto(links["s-summary: Pairs × variants"])
            named = window.get_by_test_id("saved-views-trigger")
            expect(named).to_have_text("Pairs × variants", timeout=PATIENCE)
            expect(window.locator("img[src*=get-artifact]")).to_have_count(2 * 2, timeout=PATIENCE)
            for name in ("cat--wave", "cup--wave", "adam", "lbfgs"):
                expect(window.get_by_text(name, exact=True).first).to_be_visible(timeout=PATIENCE)
            window.goto("about:blank")  # the addresses differ only after the #
            window.goto(links["s: By variant"])
            expect(named).to_have_text("By variant", timeout=PATIENCE)
            for name in (
                "4 matching runs",
                "Group: adam",
                "Group: lbfgs",
                "final/style_loss",
                "loss/total",
            ):
                expect(window.get_by_text(name, exact=True).first).to_be_visible(timeout=PATIENCE)
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 130
    assert "Traceback" not in log.read_text()
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{port}/health")


def wait_for(url: str) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        try:
            urlopen(url).close()
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"{url} does not respond")
