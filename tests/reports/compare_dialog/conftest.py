"""Pages with a comparison dialog, opened in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reports import page
from tests.helpers.browser import FRAME, monitored
from tests.helpers.compare_dialog import CELLS, EVIL, HUGE, VARIANTS, thumbnails
from tests.helpers.report_page import CUP, HOSTILE, WAVE, cell, png, record, store_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.helpers.compare_dialog import Shown


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = [record(one, VARIANTS[one.variant]) for one in CELLS]
    store = store_of(tmp_path_factory.mktemp("runs"), [*records, record(HUGE)])
    store.write(record(HUGE), png(size=(1200, 900)), [])
    return page.write(store)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with hostile names everywhere."""
    records = [
        record(cell(name, replace(CUP, name=HOSTILE, title=name), style=replace(WAVE, title=name)))
        for name in EVIL
    ]
    return page.write(store_of(tmp_path_factory.mktemp("runs"), records))


@pytest.fixture
def window(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A window; browser errors and requests fail the test."""
    width, scheme = getattr(request, "param", (1440, "light"))
    size = {"width": width, "height": 900}
    window = chromium.new_page(viewport=size, color_scheme=scheme, has_touch=True)  # type: ignore[arg-type]
    window.set_default_timeout(5000)
    with monitored(window):
        yield window


@pytest.fixture
def opened(window: Page, path: Path) -> Page:
    """The first stylized image, opened by mouse."""
    window.goto(path.as_uri())
    thumbnails(window).first.click()
    return window


@pytest.fixture(params=["file", "frame"])
def shown(request: pytest.FixtureRequest, window: Page, path: Path) -> Shown:
    """The page from disk, and in a sandboxed frame without address and storage."""
    if request.param == "file":
        window.goto(path.as_uri())
        return window
    window.goto("about:blank")
    window.evaluate(FRAME, path.read_text(encoding="utf-8"))
    return window.frame_locator("iframe")
