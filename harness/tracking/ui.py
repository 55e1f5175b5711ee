"""The MLflow UI for a database of results, at 127.0.0.1."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

from harness.errors import UsageError
from harness.store import redact
from harness.tracking.address import database_file
from harness.tracking.saved_views import OURS

HOST = "127.0.0.1"
SERVER_ENV = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Avoids eight processes of 250 MB each, for evaluating language models.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def check(uri: str, port: int) -> None:
    """Check that the database exists and that the port is free.

    Raises:
        UsageError: `uri` is a server, its database does not exist, or the port is in use.
    """
    if uri.startswith(("http://", "https://")):
        raise UsageError(f"{redact(uri)} is a server and has its own UI: open it in the browser.")
    database = database_file(uri)
    if database is not None and not database.exists():
        raise UsageError(
            f"{database} does not exist. `nstbench run SUITE` creates it; `nstbench sync SUITE` "
            "does so from stored results; --out selects another folder."
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} of {HOST} is not available: {error.strerror}. Is a UI running? "
                f"`--port {port + 1 if port < 65535 else 5000}` selects another port."
            ) from None


def links(uri: str, port: int) -> Iterator[tuple[str, str]]:
    """Yield the title and address of each page: all experiments first, then our saved views."""
    base, kind = f"http://{HOST}:{port}/#/experiments", "workflowType=machine_learning"
    yield "all experiments (one opens as GenAI? Choose Model training, top left)", f"{base}?{kind}"
    for number, experiment, key, view in _views(uri):
        query = f"{kind}&compareRunsMode=CHART&viewStateShareKey={key}"
        yield f"{experiment}: {view}", f"{base}/{number}/runs?{query}"


def serve(uri: str, port: int) -> int:
    """Run the server until it exits or KeyboardInterrupt, and return its exit code."""
    # In its own process group, since it prints two tracebacks on Ctrl-C.
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(port),
         "--workers", "1"],
        # In the environment, since every user can read the arguments of a process.
        env={**SERVER_ENV, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}, process_group=0,
    )  # fmt: skip
    try:
        return server.wait()
    finally:
        server.terminate()  # it ends its child processes
        server.wait()


def _views(uri: str) -> list[tuple[int, str, str, str]]:
    """Return id and name of the experiment, and key and name of the view, for each of our views.

    Reads SQLite directly, since importing MLflow is slow; other databases yield no views.
    """
    if (database := database_file(uri)) is None:
        return []
    try:
        with closing(
            sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=1)
        ) as reader:
            rows = reader.execute(_QUERY, (f"{OURS}%",)).fetchall()
        return [
            (number, experiment, tag.rpartition(".")[2], json.loads(value)["name"])
            for number, experiment, tag, value in rows
        ]
    except (sqlite3.Error, ValueError, KeyError):  # the UI works without links to views
        return []


_QUERY = """
    SELECT experiment_id, name, key, value FROM experiment_tags JOIN experiments
    USING (experiment_id) WHERE lifecycle_stage = 'active' AND key LIKE ? ORDER BY name, key
"""
