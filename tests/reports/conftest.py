"""A finished store and its parsed page."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.records import Failure, Skip
from harness.store import Store
from reports import page
from tests.helpers.report_page import CAT, Page, cell, record, store_of


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two pairs, two complete variants and an anchor; one cell failed, one was skipped."""
    records = [
        record(cell("identity"), ssim=1.0, style_loss=1.0),
        record(cell("identity", CAT), ssim=1.0, style_loss=1.0),
        record(cell("gatys[lbfgs]"), ssim=0.40, style_loss=0.01),
        record(cell("gatys[lbfgs]", CAT), ssim=0.60, style_loss=0.03),
        record(cell("gatys[adam]"), ssim=0.65, style_loss=0.02),
        record(cell("gatys[adam]", CAT), ssim=0.70, style_loss=0.06),
        record(
            cell("johnson"),
            status="failed",
            scores=(),
            timing=None,
            failure=Failure("RuntimeError", "out of luck", "Traceback: line 1"),
        ),
    ]
    skip = Skip("johnson/cat--wave/s0", "johnson", "cat--wave", "excluded: too slow")
    return store_of(tmp_path, records, skipped=(skip,), warnings=("LPIPS is not available.",))


@pytest.fixture
def html(store: Store) -> Page:
    return Page(page.render(store))
