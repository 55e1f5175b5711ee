"""Connections to MLflow, with bounded time for failures and errors of one line."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from harness.errors import TrackingError
from harness.resources.hash_cache import cache_folder
from harness.store import redact
from harness.tracking.address import database_file

ENV_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # saves a request per run
    "GIT_PYTHON_REFRESH": "quiet",
    # A call fails after four attempts of 20 s, 15 s apart, whatever Retry-After says.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""Settings of MLflow; variables that are set already stay."""

LOGIN = (
    "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, to an "
    "account that may write there."
)

BRIEF_SECONDS = 5
LOCK_SECONDS = 30


class AccessError(TrackingError):
    """The server requires a login, or does not permit the request."""


def set_env_defaults() -> None:
    """Set MLflow's environment variables; call it before importing MLflow, for the telemetry."""
    for name, value in ENV_DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        Path.home()
    except RuntimeError:  # MLflow cannot be imported by a user without a home folder
        os.environ["HOME"] = str(cache_folder())


def connect(uri: str) -> Any:
    """Return a client, after checking that a server answers or that a file is a database."""
    set_env_defaults()
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # hides the migrations of a new database
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints the traceback of errors that it also raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if (file := database_file(uri)) is not None:
        with _create_once(file) as path:
            sqlite3.connect(path).close()  # MLflow would retry for two minutes
            return MlflowClient(tracking_uri=uri)
    client = MlflowClient(tracking_uri=uri)
    if uri.startswith("http"):
        with briefly(retries=1):
            client.search_experiments(max_results=1)
    return client


def reason(error: Exception) -> str:
    """Return why a call failed, in one line, without the history of its retries."""
    retry_error = next(iter(getattr(error.__context__, "args", ())), None)
    if (cause := getattr(retry_error, "reason", None)) is not None:
        path = str(getattr(retry_error, "url", "")).partition("?")[0]
        return f"{str(cause).rpartition('): ')[2]} ({path})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextmanager
def reported(uri: str) -> Iterator[None]:
    """Turn errors of MLflow and its transport into TrackingError."""
    set_env_defaults()
    import alembic.util
    import mlflow.exceptions
    import requests
    import sqlalchemy.exc

    try:
        yield
    except alembic.util.CommandError as error:
        raise TrackingError(
            f"MLflow at {redact(uri)}: {error}. The database is not of MLflow "
            f"{mlflow.__version__}, but "
            "probably of a newer one: upgrade MLflow, or pass another --tracking-uri."
        ) from error
    except (
        mlflow.exceptions.MlflowException, requests.RequestException,
        sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError,
    ) as error:  # fmt: skip
        if (status := _http_status(error)) in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            what = f"the server responded with HTTP {status:d} ({status.phrase}). {LOGIN}"
            raise AccessError(f"MLflow at {redact(uri)}: {what}") from error
        raise TrackingError(f"MLflow at {redact(uri)}: {redact(reason(error))}") from error


@contextmanager
def briefly(retries: int) -> Iterator[None]:
    """Limit each attempt of MLflow to 5 s, and their number; its default takes four minutes."""
    limits = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(BRIEF_SECONDS),
    }
    before = {name: os.environ[name] for name in limits}
    os.environ.update(limits)
    try:
        yield
    finally:
        os.environ.update(before)


def _http_status(error: Exception) -> HTTPStatus | None:
    """Return the status of a server's response to a failed request."""
    from mlflow.exceptions import MlflowException

    response = getattr(error, "response", None)  # of an error of requests
    code = getattr(response, "status_code", None)
    if code is None and isinstance(error, MlflowException):
        code = error.get_http_status_code()
    return HTTPStatus(code) if code in set(HTTPStatus) else None


@contextmanager
def _create_once(path: Path) -> Iterator[Path]:
    """Let only one process create a database: two that create its tables at once would fail."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock_path = path.with_name(f".{path.name}.lock")
    if path.exists() and not lock_path.exists():
        yield path
        return
    lock = FileLock(lock_path)
    with suppress(OSError):  # where a lock cannot be created, neither can the database
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        yield path
    finally:
        if lock.is_locked:
            lock_path.unlink(missing_ok=True)  # only the creation needs it
            lock.release()
