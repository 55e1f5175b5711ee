"""The way to MLflow: tried briefly, given up in bounded time, and what was wrong in one line."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.errors import TrackingError

KNOBS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # and one request less for each run
    "GIT_PYTHON_REFRESH": "quiet",
    # A call gives up after four times 20 s and 15 s between, whatever a server asks to wait.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""Of MLflow's; whoever has set one before is obeyed."""

BRIEF_SECONDS = 5
LOCK_SECONDS = 30


def set_env_defaults() -> None:
    """Set MLflow's knobs: it decides while it is imported whether it reports to its makers."""
    for knob, value in KNOBS.items():
        os.environ.setdefault(knob, value)


def connect(uri: str) -> Any:
    """Return a client, after a server has answered or a file was found to be a database."""
    set_env_defaults()
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # migrations of a fresh database are nobody's news
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints the traceback of what it raises all the same.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if uri.startswith("sqlite:"):
        with _made_by_one(_path(uri)) as path:
            sqlite3.connect(path).close()  # what cannot be opened MLflow would try for two minutes
            return MlflowClient(tracking_uri=uri)
    client = MlflowClient(tracking_uri=uri)
    if uri.startswith("http"):
        with briefly(retries=1):
            client.search_experiments(max_results=1)
    return client


def reason(error: Exception) -> str:
    """Return why a call failed, in one line, without all that was tried before giving up."""
    gave_up = next(iter(getattr(error.__context__, "args", ())), None)
    if (cause := getattr(gave_up, "reason", None)) is not None:
        path = str(getattr(gave_up, "url", "")).partition("?")[0]
        return f"{str(cause).rpartition('): ')[2]} ({path})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextmanager
def reported(uri: str) -> Iterator[None]:
    """Turn what MLflow or its transport raises into one error of ours."""
    set_env_defaults()
    import alembic.util
    import mlflow.exceptions
    import requests
    import sqlalchemy.exc

    try:
        yield
    except alembic.util.CommandError as error:
        raise TrackingError(
            f"MLflow at {uri}: {error}. Another MLflow than {mlflow.__version__} made it, most "
            "likely a newer one: upgrade MLflow here, or track elsewhere with --tracking-uri."
        ) from error
    except (
        mlflow.exceptions.MlflowException, requests.RequestException,
        sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError,
    ) as error:  # fmt: skip
        raise TrackingError(f"MLflow at {uri}: {reason(error)}") from error


@contextmanager
def briefly(retries: int) -> Iterator[None]:
    """Have MLflow try for 5 s at a time: by default it would for four minutes."""
    brief = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(BRIEF_SECONDS),
    }
    before = {knob: os.environ[knob] for knob in brief}
    os.environ.update(brief)
    try:
        yield
    finally:
        os.environ.update(before)


def _path(uri: str) -> Path:
    from sqlalchemy import make_url

    return Path(make_url(uri).database or "")


@contextmanager
def _made_by_one(path: Path) -> Iterator[Path]:
    """Let one process make a database: of two that make its tables at once, one fails."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.lock")
    if path.exists() and not beside.exists():
        yield path
        return
    lock = FileLock(beside)
    with suppress(OSError):  # where no lock can be written, no database can be made
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        yield path
    finally:
        if lock.is_locked:
            beside.unlink(missing_ok=True)  # it is made: nobody needs to wait any more
            lock.release()
