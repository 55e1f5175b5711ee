"""Start a browser for tests of the page, and fail on its errors and requests."""

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
"""Script that shows HTML in a sandboxed frame, as MLflow shows an artifact."""


def skip_or_fail(reason: str) -> None:
    """Skip the test, or fail it in CI, where everything must be installed."""
    if os.environ.get("CI"):
        pytest.fail(f"CI is set, but {reason}")
    pytest.skip(reason)


@contextmanager
def launched() -> Iterator[Browser]:
    """Start the browser; skip the test if none is installed."""
    if not CHROMIUM.exists():
        skip_or_fail(f"there is no browser at {CHROMIUM}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_or_fail("playwright is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def is_local(url: str) -> bool:
    """Return whether a URL needs no network."""
    return url.startswith(("file:", "data:", "blob:", "about:"))


@contextmanager
def monitored(window: Page, allowed: Callable[[str], bool] = is_local) -> Iterator[Page]:
    """Close the window at the end; fail on console messages, errors and other requests."""
    problems: list[str] = []
    window.on("console", lambda message: problems.append(message.text))
    window.on("pageerror", lambda error: problems.append(str(error)))
    window.on("request", lambda r: None if allowed(r.url) else problems.append(r.url))
    yield window
    window.close()
    assert problems == []
