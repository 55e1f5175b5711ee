"""Shared fixtures: isolation from the network and the user, images, disks, suite files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.helpers.browser import launched
from tests.helpers.disks import mounted
from tests.helpers.web_server import Web, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each parallel process and its children
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


LONGEST_FIRST = [
    "test_worker_faults", "test_run", "test_background_thread", "test_claims", "test_failing_runs",
    "test_determinism", "test_checkpoints", "test_kills", "test_documentation", "test_conformance",
    "test_page_in_browser", "test_stand_in_images", "test_mutations", "test_compare_dialog",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files: each file goes to one process."""
    rank = {name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(autouse=True)
def _closed_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Use no cache or options of the user, and no network."""
    empty = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NSTBENCH_CACHE", str(empty))
    monkeypatch.setenv("TORCH_HOME", str(empty))
    monkeypatch.setenv("NSTBENCH_OFFLINE", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("NSTBENCH_OUT", "NSTBENCH_MIRROR", "NSTBENCH_WEIGHTS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def web_server() -> Iterator[Web]:
    """A local web server without files."""
    with running() as web:
        yield web


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser; the test is skipped if there is none."""
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database to copy, because creating one takes seconds."""
    from harness.tracking import client

    path = tmp_path_factory.mktemp("tables") / "mlflow.db"
    client.connect(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def random_encoder() -> Any:
    from harness import encoders
    from harness.resources.downloads import Network
    from harness.resources.weights import WeightsStore

    use, path = encoders.find("random", WeightsStore(Network(offline=True), {}))
    return encoders.load(use, path)


@pytest.fixture
def context(random_encoder: Any) -> Callable[..., Any]:
    """Make a Context; `steps` collects the steps that a method reports."""
    from harness.protocols import Context
    from harness.resources.images import skimage_photograph
    from harness.resources.training_images import Crops

    def make(seed: int = 0, size: int = 48, steps: list[Any] | None = None) -> Context:
        generator = torch.Generator().manual_seed(seed)
        crops = Crops([skimage_photograph("coffee"), skimage_photograph("chelsea")], size, size)
        return Context(
            device=torch.device("cpu"),
            generator=generator,
            encoder=random_encoder,
            size=size,
            on_step=(steps if steps is not None else []).append,
            batches=lambda batch, crop, skip=0: crops.batches(batch, generator, skip),
            note=lambda text: None,
        )

    return make


@pytest.fixture(scope="session")
def photograph() -> Callable[[str, int], torch.Tensor]:
    """Return one of scikit-image's photographs as an Image with the given long edge."""
    import numpy as np

    from harness.resources.images import read, resize, skimage_photograph, to_tensor

    def load(name: str, size: int) -> torch.Tensor:
        return to_tensor(np.asarray(resize(read(skimage_photograph(name)), size)))

    return load


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a suite file and returns its path."""

    def write(text: str) -> Path:
        path = tmp_path / "suite.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes; tests without one use a file size limit instead."""
    with mounted(tmp_path / "disk", "2m"):
        yield tmp_path / "disk"
