"""A runner on the CPU with the random encoder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.execution.runner import Runner
from harness.metrics.ssim import Ssim
from harness.plan import Resources
from harness.registry import METHODS
from tests.helpers.faults.faulty_cells import ENCODER, FITS, Faulty


@pytest.fixture(scope="module")
def runner() -> Runner:
    """A runner that scores with SSIM only."""
    return Runner(
        Resources(
            encoder=ENCODER,
            encoder_files={ENCODER.sha256: None},
            device="cpu",
            precision="float32",
            metrics=(Ssim(),),
        )
    )


@pytest.fixture
def faulty() -> Iterator[None]:
    """Register the method `faulty` during a test."""
    METHODS.names()  # load all methods first
    METHODS._classes["faulty"] = METHODS.register("faulty")(Faulty)
    FITS.clear()
    yield
    del METHODS._classes["faulty"]
