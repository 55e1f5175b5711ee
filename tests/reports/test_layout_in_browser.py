"""The first screen, the sticky headers of the grid and the folds, in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.records import Claim
from reports import page
from tests.helpers.report_page import CAT, CUP, WAVE, cell, png, record, store_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Locator, Page

SIZES = ((390, 844), (768, 1024), (1440, 900))
LONG = "A long description that explains the question of the suite in detail. " * 9
WARNINGS = tuple(f"Warning {i} about {'a long list of images, ' * 5}: {LONG}" for i in range(12))
OPTIMIZERS = ("lbfgs", "adam", "adam,init=noise,learning_rate=0.02,line_search=strong")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with much text above the grid, and with rows that are taller than the window."""
    contents = [CUP, CAT, *(replace(CAT, name=f"c{i}", sha256=f"4{i}" * 32) for i in range(3))]
    rows = [
        record(cell(f"gatys[{name}]", content, seed=seed), ssim=0.4 + seed / 10 + len(name) / 100)
        for content in contents
        for name in OPTIMIZERS
        for seed in range(5)
    ]
    rows += [record(cell("identity", content)) for content in contents]
    claims = [
        Claim(f"C{i}", "", "optimizer", ("lbfgs", "adam"), "ssim", "higher", "gatys")
        for i in range(12)
    ]
    store = store_of(
        tmp_path_factory.mktemp("runs"), rows,
        description=LONG, warnings=WARNINGS, claims=tuple(claims),
    )  # fmt: skip
    for one in rows:
        store.write(one, png((200, 60, one.cell.seed * 40), (64, 48)), [])
    return page.write(store).as_uri()


@pytest.fixture(params=SIZES, ids=str)
def opened(chromium: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    width, height = request.param
    window = chromium.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
    window.goto(address)
    yield window
    window.close()


def box_of(element: Locator) -> FloatRect:
    box = element.bounding_box()
    assert box is not None
    return box


def covers(outer: FloatRect, inner: FloatRect) -> bool:
    return (
        outer["x"] <= inner["x"] + 1
        and outer["y"] <= inner["y"] + 1
        and inner["x"] + inner["width"] <= outer["x"] + outer["width"] + 1
        and inner["y"] + inner["height"] <= outer["y"] + outer["height"] + 1
    )


def test_the_first_picture_is_on_the_first_screen(opened: Page) -> None:
    first = box_of(opened.locator(".nst-grid .nst-cell img").first)
    size = opened.viewport_size
    assert size is not None
    assert first["y"] + first["height"] / 2 < size["height"]
    assert opened.evaluate("document.documentElement.scrollWidth") == size["width"]


def test_the_first_picture_is_on_the_first_screen_without_scripts(
    chromium: Browser, address: str
) -> None:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, java_script_enabled=False
    )
    window = context.new_page()
    window.goto(address)
    assert box_of(window.locator(".nst-grid .nst-cell img").first)["y"] < 844
    assert "does not run the script" in window.locator("#panel-grid").inner_text()
    fold = window.locator("aside details").first
    text = fold.locator("p")
    assert not text.is_visible()
    fold.locator("summary").first.click()
    assert text.is_visible()
    context.close()


def test_content_and_style_stay_in_view_when_the_grid_is_scrolled(opened: Page) -> None:
    pane = opened.locator(".nst-tall").first
    pane.evaluate("e => e.scrollIntoView()")
    head = opened.locator(".nst-grid thead").first
    for across, down in ((0, 0), (400, 0), (0, 500), (250, 900)):
        pane.evaluate("(e, [x, y]) => e.scrollTo(x, y)", [across, down])
        opened.wait_for_timeout(100)
        frame, header = box_of(pane), box_of(head)
        below = {**frame, "y": header["y"] + header["height"]}
        below["height"] = frame["y"] + frame["height"] - below["y"]
        shown = [box_of(one) for one in opened.locator(".nst-inputs .nst-enlarge").all()]
        # The row at the top of the frame shows both its images, below the header.
        assert sum(covers(below, one) for one in shown) >= 2  # type: ignore[arg-type]


def test_the_keyboard_never_reaches_an_image_that_is_below_a_header(opened: Page) -> None:
    pane, head = opened.locator(".nst-tall").first, opened.locator(".nst-grid thead").first
    pane.focus()
    for key in (*["Tab"] * 30, *["Shift+Tab"] * 20):
        opened.keyboard.press(key)
        focused = opened.locator(":focus")
        if focused.evaluate("e => !e.matches('.nst-cell button')"):
            continue
        column = box_of(opened.locator(".nst-grid tbody th").first)
        one, header = box_of(focused), box_of(head)
        assert one["y"] >= header["y"] + header["height"] - 1
        assert one["x"] >= column["x"] + column["width"] - 1


def test_folded_warnings_take_one_line_each(opened: Page) -> None:
    heads = opened.locator("aside li > details > summary:visible")
    assert heads.count() == 4
    assert all(box_of(head)["height"] < 30 for head in heads.all())
    lead = opened.locator(".nst-lead summary")
    folded = box_of(lead)["height"]
    lead.click()
    assert box_of(lead)["height"] > folded


def test_closed_folds_are_printed_without_scripts(chromium: Browser, address: str) -> None:
    context = chromium.new_context(java_script_enabled=False)
    window = context.new_page()
    window.goto(address)
    window.emulate_media(media="print")
    assert all(box_of(text)["height"] > 10 for text in window.locator("aside p").all())
    context.close()


def test_long_names_of_pairs_do_not_widen_the_page(chromium: Browser, tmp_path: Path) -> None:
    long = replace(CUP, name="a-very-long-name-of-an-image-" * 4)
    rows = [record(cell("gatys[lbfgs]", long, style=style)) for style in (WAVE, CAT)]
    store = store_of(tmp_path, rows)
    for one in rows:
        store.write(one, png(), list(store.trace(one.cell.id)), {1: png(), 2: png()})
    window = chromium.new_page(viewport={"width": 390, "height": 844})
    window.goto(page.write(store).as_uri())
    assert window.locator(".nst-timeline select").is_visible()
    assert window.evaluate("document.documentElement.scrollWidth") == 390
    window.close()
