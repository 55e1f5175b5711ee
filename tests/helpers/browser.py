"""A real browser for the page: where it is, how it starts, and what it must not complain of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path(os.environ.get("NSTBENCH_CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
]


FRAME = """html => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts";
  frame.style = "position: fixed; inset: 0; width: 100%; height: 100%; border: 0";
  frame.src = URL.createObjectURL(new Blob([html], {type: "text/html"}));
  document.body.append(frame);
}"""
"""As MLflow shows an artifact."""


def without(reason: str) -> None:
    """Skip on a laptop, fail where a browser was promised."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, and {reason}")
    pytest.skip(reason)


@contextmanager
def launched() -> Iterator[Browser]:
    """Start the browser; without one the test is skipped."""
    if not CHROMIUM.exists():
        without(f"there is no browser at {CHROMIUM}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        without("playwright is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def local(url: str) -> bool:
    """Tell what a page may ask for that needs no network."""
    return url.startswith(("file:", "data:", "blob:", "about:"))


@contextmanager
def quiet(window: Page, known: Callable[[str], bool] = local) -> Iterator[Page]:
    """Close the window at the end, and fail on what the browser complained about or asked for."""
    heard: list[str] = []
    window.on("console", lambda message: heard.append(message.text))
    window.on("pageerror", lambda error: heard.append(str(error)))
    window.on("request", lambda r: None if known(r.url) else heard.append(r.url))
    yield window
    window.close()
    assert heard == []
