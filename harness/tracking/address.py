"""Addresses of MLflow: which one a command uses, its driver, and the schema of its database.

The schema is read without MLflow, which would migrate an old database.
"""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from harness.errors import UsageError
from harness.store import redact

DATABASES = ("postgresql", "mysql", "mssql", "sqlite")
"""Database systems that MLflow supports."""

PACKAGES = {
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
}
"""Packages of drivers by the modules that they provide, where the names differ."""

ALTERNATIVE = "or pass another --tracking-uri."

CONNECT_SECONDS = 5
PAUSE_SECONDS = 10
SQLITE_WAL = b"\x02\x02"
"""Bytes 18 and 19 of a file in SQLite's WAL mode."""

Age = Literal["new", "old", "current", "unknown"]


def choose(out: Path, given: str = "") -> str:
    """Return `given` (--tracking-uri), else MLFLOW_TRACKING_URI, else a database in `out`."""
    uri = given or os.environ.get("MLFLOW_TRACKING_URI", "") or default(out)
    if uri.startswith("sqlite:") and "%" in uri:
        return uri.replace("sqlite:", "sqlite+pysqlite:", 1)  # see `default`
    return uri


def resolve(out: Path, given: str = "") -> str:
    """Return what `choose` returns, after `check`."""
    check(uri := choose(out, given))
    return uri


def default(out: Path) -> str:
    """Return the address of the database in a folder of results."""
    path = re.sub("[%?#]", lambda match: quote(match[0]), str((out / "mlflow.db").resolve()))
    # For `sqlite:///`, MLflow would create the folder of the encoded path.
    return f"sqlite+pysqlite:///{path}" if "%" in path else f"sqlite:///{path}"


def database_file(uri: str) -> Path | None:
    """Return the file of an SQLite database; None for other addresses and for `:memory:`."""
    if not _is_database(uri, "sqlite"):
        return None
    name = unquote(uri.partition(":///")[2].partition("?")[0])
    return None if not name or name.startswith((":", "file:")) else Path(name).absolute()


def is_database(uri: str) -> bool:
    """Return whether MLflow opens a database itself, instead of asking a server."""
    return any(_is_database(uri, name) for name in DATABASES)


def check(uri: str) -> None:
    """Check that the address of a database can be read and that its driver is installed.

    Raises:
        UsageError: It cannot; the message has the command that installs the driver.
    """
    if uri.startswith("postgres:"):
        raise UsageError(
            f"{redact(uri)}: there is no database system 'postgres'. "
            f"Begin the address with postgresql://, {ALTERNATIVE}"
        )
    is_path = Path(uri).is_file()
    if is_path or (_is_database(uri, "sqlite") and database_file(uri) is None):
        raise UsageError(
            f"{uri} is not the address of a database file. "
            f"Pass sqlite:///{Path(uri).absolute() if is_path else 'PATH'}, {ALTERNATIVE}"
        )
    if not is_database(uri) or uri.startswith("sqlite:///"):
        return
    import sqlalchemy.exc

    try:
        sqlalchemy.make_url(uri).get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        package = PACKAGES.get(module, module)
        raise UsageError(
            f"The database {redact(uri)} needs the Python package {package}, which is not "
            f"installed. Run `pip install {shlex.quote(package)}`, {ALTERNATIVE}"
        ) from None
    except ImportError as error:
        raise UsageError(
            f"The driver of the database {redact(uri)} cannot be loaded: {error}. "
            f"Repair it, {ALTERNATIVE}"
        ) from None
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise UsageError(
            f"{redact(uri)} is not the address of a database: {redact(str(error))}. Pass an "
            "address of the form SYSTEM+DRIVER://USER:PASSWORD@HOST/DATABASE or "
            "sqlite:///PATH."
        ) from None


def ui_command(out: Path, uri: str) -> str:
    """Return the command that opens the UI on `uri`, quoted for a shell, without credentials."""
    if uri != default(out):
        return shlex.join(["nstbench", "ui", "--tracking-uri", redact(uri)])
    usual = Path(os.environ.get("NSTBENCH_OUT") or "runs")
    return shlex.join(["nstbench", "ui", *([] if out == usual else ["--out", str(out)])])


@dataclass(frozen=True)
class Schema:
    """The schema of a database, compared with that of the installed MLflow."""

    age: Age  # "new": no tables yet; "unknown": of a newer MLflow, or not of MLflow
    revision: str = ""
    experiments: int = 0


def schema(uri: str) -> Schema:
    """Return the schema of a database; nothing is created or changed.

    Raises:
        OSError: The database cannot be opened.
        sqlite3.Error: As for OSError.
        sqlalchemy.exc.SQLAlchemyError: As for OSError, or it is not of MLflow.
    """
    file = database_file(uri)
    rows = _rows_of_server(uri) if file is None else _rows_of_file(file)
    if rows is None:
        return Schema("new")
    revision, experiments = rows
    known, head = _revisions()
    age: Age = "current" if revision == head else "old" if revision in known else "unknown"
    return Schema(age, revision, experiments)


def migration_note(uri: str) -> str:
    """Return what MLflow will do to an old database and how to keep a copy; else an empty text."""
    if not is_database(uri):
        return ""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        found = schema(uri)
    except (OSError, sqlite3.Error, SQLAlchemyError):
        return ""  # the connection reports it
    if found.age != "old":
        return ""
    return (
        f"MLflow {version('mlflow')} migrates {redact(uri)}, which has the older schema "
        f"{found.revision}. Earlier versions of MLflow cannot read it afterwards. "
        f"To keep a copy, press Ctrl-C, {copy_command(uri)}, and repeat the command."
    )


def announce_migration(uri: str, warn: Callable[[str], object]) -> None:
    """Warn before MLflow migrates an old database; on a terminal, leave time to stop it."""
    if not (note := migration_note(uri)):
        return
    waits = sys.stdin.isatty() and sys.stdout.isatty()
    warn(f"{note} The migration starts in {PAUSE_SECONDS} seconds." if waits else note)
    if waits:
        time.sleep(PAUSE_SECONDS)


def copy_command(uri: str) -> str:
    """Return how to copy a database, as the end of a sentence."""
    if (file := database_file(uri)) is None:
        return "make a dump of the database"
    return f"run `{shlex.join(['cp', str(file), f'{file}.old'])}`"


def _is_database(uri: str, system: str) -> bool:
    return uri.partition(":")[0].partition("+")[0] == system


def _rows_of_file(file: Path) -> tuple[str, int] | None:
    with file.open("rb") as reader:
        header = reader.read(20)
    # A reader in WAL mode would create files beside the database.
    unchanged = header[18:] == SQLITE_WAL and not file.with_name(f"{file.name}-wal").exists()
    mode = "mode=ro&immutable=1" if unchanged else "mode=ro"
    with closing(sqlite3.connect(f"{file.as_uri()}?{mode}", uri=True, timeout=1)) as database:
        if not database.execute(_TABLE).fetchone():
            return None
        revision, experiments = (
            database.execute(query).fetchone() for query in (_REVISION, _EXPERIMENTS)
        )
    return str((revision or [""])[0]), int(experiments[0])


def _rows_of_server(uri: str) -> tuple[str, int] | None:
    import sqlalchemy

    seconds = {} if uri.startswith("mssql") else {"connect_timeout": CONNECT_SECONDS}
    engine = sqlalchemy.create_engine(uri, connect_args=seconds, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        if not sqlalchemy.inspect(connection).has_table("alembic_version"):
            return None
        revision, experiments = (
            connection.execute(sqlalchemy.text(query)).scalar()
            for query in (_REVISION, _EXPERIMENTS)
        )
    return str(revision or ""), int(experiments or 0)


_TABLE = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
_REVISION = "SELECT version_num FROM alembic_version"
_EXPERIMENTS = "SELECT count(*) FROM experiments WHERE lifecycle_stage = 'active'"


def _revisions() -> tuple[set[str], str]:
    """Return all revisions that MLflow can migrate from, and the latest one.

    Reads the files: alembic would import all of MLflow, which takes seconds.
    """
    package = find_spec("mlflow")
    folders = (package and package.submodule_search_locations) or []
    files = (p for f in folders for p in Path(f).glob("store/db_migrations/versions/*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    known, earlier = (
        set(re.findall(rf"^{name} = ['\"](\w+)['\"]", text, re.MULTILINE))
        for name in ("revision", "down_revision")
    )
    return known, next(iter(known - earlier), "")
