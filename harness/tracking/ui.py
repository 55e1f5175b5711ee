"""The MLflow UI on a database of results, at 127.0.0.1."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from harness.errors import UsageError
from harness.tracking.saved_views import OURS

HOST = "127.0.0.1"
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Eight processes of a quarter of a gigabyte each, for judges of language models.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def check(uri: str, port: int) -> None:
    """See that there is something to show and somewhere to show it.

    Raises:
        UsageError: Nothing was tracked there, a server has its own UI, or the port is taken.
    """
    if uri.startswith(("http://", "https://")):
        raise UsageError(f"{uri} is a server and has a UI of its own: open it in the browser.")
    database = _database(uri)
    if database is not None and not database.exists():
        raise UsageError(
            f"{database} does not exist: nothing was tracked there yet. `nstbench run SUITE` makes "
            "it, `nstbench sync SUITE` fills it from what is stored; --out names another folder."
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server itself does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} of {HOST} cannot be had: {error.strerror}. Is a UI running already? "
                f"`--port {port + 1 if port < 65535 else 5000}` takes another."
            ) from None


def links(uri: str, port: int) -> Iterator[tuple[str, str]]:
    """Yield what there is to open, and its address: all experiments first, then our saved views."""
    base, kind = f"http://{HOST}:{port}/#/experiments", "workflowType=machine_learning"
    yield "all experiments (one opens as GenAI? Choose Model training, top left)", f"{base}?{kind}"
    for number, experiment, key, view in _views(uri):
        query = f"{kind}&compareRunsMode=CHART&viewStateShareKey={key}"
        yield f"{experiment}: {view}", f"{base}/{number}/runs?{query}"


def serve(uri: str, port: int) -> int:
    """Run the server until it ends, and return its exit code; KeyboardInterrupt ends it too."""
    # In a group of its own: of a Ctrl-C at the terminal it would make two tracebacks.
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri,
         "--host", HOST, "--port", str(port), "--workers", "1"],
        env={**QUIET, **os.environ}, process_group=0,
    )  # fmt: skip
    try:
        return server.wait()
    finally:
        server.terminate()  # it takes its own children with it
        server.wait()


def _views(uri: str) -> list[tuple[int, str, str, str]]:
    """Return experiment, its name, and key and name of each of our views.

    Read past MLflow, whose import takes longer than all the rest; other databases are not asked.
    """
    if (database := _database(uri)) is None:
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
    except (sqlite3.Error, ValueError, KeyError):  # the UI starts all the same
        return []


_QUERY = """
    SELECT experiment_id, name, key, value FROM experiment_tags JOIN experiments
    USING (experiment_id) WHERE lifecycle_stage = 'active' AND key LIKE ? ORDER BY name, key
"""


def _database(uri: str) -> Path | None:
    scheme = "sqlite:///"
    return Path(uri.removeprefix(scheme)).resolve() if uri.startswith(scheme) else None
