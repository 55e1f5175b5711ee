"""An MLflow database as an earlier version of MLflow created it."""

from __future__ import annotations

from pathlib import Path

OLD = "4465047574b1"
"""The schema of MLflow 2.11."""


def create_old_database(path: Path) -> Path:
    """Create a database with the schema of an earlier MLflow."""
    import sqlalchemy
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = f"sqlite:///{path}"
    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
    Base.metadata.create_all(engine)
    config = _get_alembic_config(uri)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, OLD)
    engine.dispose()
    return path
