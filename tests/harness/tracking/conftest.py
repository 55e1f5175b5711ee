"""Stores, and databases of MLflow for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.records import TracePoint
from harness.resources.images import to_png
from harness.store import Store
from tests.helpers.tracking.shared_results import SEEDS, fill, send
from tests.helpers.tracking.tracked_store import CELLS, record


@pytest.fixture(autouse=True)
def _no_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


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


@pytest.fixture
def colleague(tmp_path: Path) -> Store:
    """The store of a colleague, on another machine."""
    return fill(Store(tmp_path / "colleague", "artists"), range(SEEDS), "2026-02-01T00:00:00+00:00")


@pytest.fixture
def colleague_uri(colleague: Store, tables: Path) -> str:
    """An MLflow database with all results of `colleague`."""
    uri = f"sqlite:///{shutil.copy(tables, colleague.root.parent)}"
    send(colleague, uri)
    return uri
