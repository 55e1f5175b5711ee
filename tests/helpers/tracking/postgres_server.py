"""A PostgreSQL server of Debian's package on this machine, with an empty database."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.helpers.browser import skip_or_fail
from tests.helpers.tracking.mlflow_server import free_port

PACKAGED = Path("/usr/lib/postgresql")
USER = "nobody"
"""The user of the server if the tests run as root, which PostgreSQL refuses."""


@contextmanager
def running() -> Iterator[str]:
    """Start a server on a free port of 127.0.0.1; yield the address of an empty database."""
    programs = _programs()
    # USER cannot open pytest's folders, which belong to root.
    with TemporaryDirectory(prefix="nstbench-postgres-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, USER)
        data, port = Path(folder) / "data", free_port()
        _run(programs / "initdb", "-D", data, "-U", "mlflow", "-A", "trust", "-N", "-E", "UTF8",
             "--locale=C", cwd=folder)  # fmt: skip
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
        _run(programs / "pg_ctl", "-D", data, "-o", options, "-w", "-l", data / "log", "start",
             cwd=folder)  # fmt: skip
        try:
            yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop", cwd=folder)


def _programs() -> Path:
    found = sorted(PACKAGED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        skip_or_fail("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg2") if not os.environ.get("CI") else None
    return found[-1].parent


def _run(*command: str | Path, cwd: str) -> None:
    prefix = ["setpriv", "--reuid", USER, "--clear-groups"] if os.geteuid() == 0 else []
    result = subprocess.run(
        [*prefix, *map(str, command)], cwd=cwd, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
