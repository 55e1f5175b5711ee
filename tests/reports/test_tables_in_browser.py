"""Interaction with leaderboard, grid and trade-off in a browser."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.records import Failure, ImageUse, Record, Timing
from reports import page
from tests.helpers.browser import FRAME, monitored
from tests.helpers.report_page import CAT, CUP, cell, record, store_of
from tests.reports.test_page_in_browser import WIDTHS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

SCORES = {"gatys[lbfgs]": (0.4, 0.6, 0.02, 9.0), "gatys[adam]": (0.65, 0.7, 0.04, 2.0),
          "johnson": (0.9, 0.0, 0.03, 0.1), "identity": (1.0, 1.0, 1.0, 0.0)}  # fmt: skip
"""SSIM on both contents, style loss and seconds; johnson fails on the second content."""


def records(
    variant: str, cup: float, cat: float, style_loss: float, seconds: float
) -> Iterator[Record]:
    for content, ssim in ((CUP, cup), (CAT, cat)):
        for seed in (0, 1):
            of = cell(variant, content, seed=seed)
            if ssim:
                timing = Timing(0.0, False, seconds, 1, 0.1, 5, (9.0, 10.0, 11.0), 512.0, "process")
                yield record(of, ssim, style_loss, timing=timing)
            else:
                failure = Failure("RuntimeError", "out of luck")
                yield record(of, status="failed", scores=(), timing=None, failure=failure)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    all_ = [one for variant, scores in SCORES.items() for one in records(variant, *scores)]
    return page.write(store_of(tmp_path_factory.mktemp("runs"), all_))


@pytest.fixture
def window(chromium: Browser) -> Iterator[Page]:
    """An empty window; browser errors and requests fail the test."""
    window = chromium.new_page(viewport={"width": 1280, "height": 900})
    window.set_default_timeout(5000)
    with monitored(window):
        yield window


@pytest.fixture
def opened(window: Page, html: Path) -> Page:
    window.goto(html.as_uri())
    return window


def variants(window: Page) -> list[str]:
    """Return the visible variants of the leaderboard in order."""
    rows = window.locator(".nst-leaderboard tr[data-variant]:visible")
    names: list[str] = rows.evaluate_all("rows => rows.map(row => row.dataset.variant)")
    return names


def heading(window: Page, column: str) -> Locator:
    return window.locator(f".nst-leaderboard th[data-column={column}]")


def entry(window: Page, variant: str, column: str) -> Locator:
    return window.locator(f"tr[data-variant='{variant}'] td[data-column={column}]")


def pin(window: Page, variant: str) -> None:
    window.locator(f"tr[data-variant='{variant}'] .nst-pin").click()


def differences(window: Page, column: str) -> dict[str, str]:
    found = {v: entry(window, v, column).locator(".nst-difference") for v in SCORES}
    return {v: small.inner_text() for v, small in found.items() if small.count()}


def test_a_column_sorts_best_first_then_reversed_then_in_plan_order(opened: Page) -> None:
    button = heading(opened, "ssim").get_by_role("button")
    button.click()
    assert heading(opened, "ssim").get_attribute("aria-sort") == "descending"  # higher is better
    # The means are 0.9, 0.675 and 0.5; the anchor with 1.0 stays in its own table body.
    best_first = ["johnson", "gatys[adam]", "gatys[lbfgs]"]
    assert variants(opened) == [*best_first, "identity"]
    assert entry(opened, "gatys[adam]", "ssim").locator(".nst-best").count() == 1
    button.press("Enter")
    assert heading(opened, "ssim").get_attribute("aria-sort") == "ascending"
    assert variants(opened) == [*reversed(best_first), "identity"]
    heading(opened, "style_loss").get_by_role("button").click()  # 0.02, 0.03, 0.04
    assert variants(opened) == ["gatys[lbfgs]", "johnson", "gatys[adam]", "identity"]
    assert opened.locator("th[aria-sort]").count() == 1
    for _ in range(2):
        heading(opened, "style_loss").get_by_role("button").click()
    assert variants(opened) == list(SCORES)
    assert opened.locator("th[aria-sort]").count() == 0


def test_names_and_missing_numbers_sort_too(opened: Page) -> None:
    opened.locator(".nst-leaderboard th").first.get_by_role("button").click()
    assert variants(opened) == ["gatys[adam]", "gatys[lbfgs]", "johnson", "identity"]
    heading(opened, "lpips").get_by_role("button").click()  # no variant has a value
    assert variants(opened) == list(SCORES)


def test_variants_are_filtered_by_words_in_any_order(opened: Page) -> None:
    field = opened.get_by_role("searchbox", name="Variants")
    field.fill("ADAM gat")
    assert variants(opened) == ["gatys[adam]"]
    assert opened.locator(".nst-leaderboard output").inner_text() == "1 of 4"
    assert not opened.get_by_text("Anchors", exact=True).is_visible()
    field.fill("")
    assert variants(opened) == list(SCORES)


def test_variants_show_their_difference_from_a_baseline_with_units(opened: Page) -> None:
    pin(opened, "gatys[lbfgs]")
    # 0.675 − 0.5; 1.0 − 0.5 with the decimals of 1.00; johnson lacks the harder content.
    assert differences(opened, "ssim") == {
        "gatys[adam]": "+0.175", "johnson": "different pairs", "identity": "+0.50"
    }  # fmt: skip
    assert differences(opened, "peak_mb")["gatys[adam]"] == "±0 MB"
    pin(opened, "gatys[adam]")
    assert differences(opened, "ssim")["gatys[lbfgs]"] == "−0.175"
    assert opened.locator(".nst-pin[aria-pressed=true]").count() == 1
    pin(opened, "gatys[adam]")
    assert opened.locator(".nst-difference").count() == 0


def test_sorting_keeps_filters_differences_and_footnotes(opened: Page) -> None:
    pin(opened, "gatys[adam]")
    opened.get_by_role("searchbox", name="Variants").fill("john")
    opened.get_by_text("Columns", exact=True).click()
    opened.get_by_role("checkbox", name="roughness").uncheck()
    heading(opened, "style_loss").get_by_role("button").click()
    # The filter never hides the baseline.
    assert variants(opened) == ["johnson", "gatys[adam]"]
    assert differences(opened, "style_loss")["gatys[lbfgs]"] == "−0.0200"
    assert entry(opened, "johnson", "lpips").locator("a[href^='#nst-note-']").count() == 1
    assert entry(opened, "johnson", "style_loss").locator(".nst-circular").count() == 1
    assert not heading(opened, "roughness").is_visible()
    assert not entry(opened, "johnson", "roughness").is_visible()


def read(text: str) -> dict[str, dict[str, str]]:
    return {row["variant"]: row for row in csv.DictReader(io.StringIO(text))}


def test_the_saved_csv_matches_the_visible_table(opened: Page) -> None:
    pin(opened, "gatys[lbfgs]")
    opened.get_by_role("searchbox", name="Variants").fill("gatys")
    opened.get_by_text("Columns", exact=True).click()
    opened.get_by_role("checkbox", name="LPIPS").uncheck()
    heading(opened, "ssim").get_by_role("button").click()
    with opened.expect_download() as saved:
        opened.get_by_role("button", name="Download as CSV").click()
    assert saved.value.suggested_filename == "leaderboard.csv"
    rows = read(saved.value.path().read_text(encoding="utf-8"))
    assert list(rows) == ["gatys[adam]", "gatys[lbfgs]"]
    adam = rows["gatys[adam]"]
    assert "lpips" not in adam
    assert (adam["ssim"], adam["ssim_n"]) == ("0.675", "4")
    assert float(adam["ssim_difference"]) == pytest.approx(0.175)
    assert float(adam["ssim_sd"]) == pytest.approx(0.05 / 3**0.5)  # 0.65, 0.65, 0.70, 0.70


def test_in_a_sandbox_the_csv_can_be_copied(window: Page, html: Path) -> None:
    window.evaluate(FRAME, html.read_text(encoding="utf-8"))
    frame = window.frame_locator("iframe")
    frame.get_by_role("button", name="Download as CSV").click()
    text = frame.get_by_label("Table as CSV text to copy").input_value()
    assert list(read(text)) == list(SCORES)


def test_the_grid_shows_one_seed_or_all(opened: Page) -> None:
    from playwright.sync_api import expect

    cells = opened.locator("figure[data-cell]")
    assert cells.locator("visible=true").count() == 2 * 2 * 4
    opened.get_by_role("combobox", name="Seed").select_option("1")
    assert cells.locator("visible=true").count() == 2 * 4
    shown = cells.evaluate_all("all => all.filter(c => !c.hidden).map(c => c.dataset.seed)")
    assert set(shown) == {"1"}
    # Links from the list of failures show cells of hidden seeds, here seed 0.
    failed = opened.locator("figure.nst-failed").first
    assert not failed.is_visible()
    opened.locator("#panel-failures a[href^='#cell-']").first.click()
    expect(failed).to_be_in_viewport()
    assert "out of luck" in failed.text_content()


def test_distant_cells_are_not_rendered_and_reserve_their_height(opened: Page) -> None:
    cells = opened.locator("figure[data-cell]")
    styles = cells.first.evaluate(
        "c => [getComputedStyle(c).contentVisibility, getComputedStyle(c).overflowClipMargin]"
    )
    assert styles == ["auto", "5px"]
    # A wrong height would make the scrollbar jump; the images here are 4:3.
    reserved, actual = cells.first.evaluate(
        """async cell => {
          const far = parseFloat(getComputedStyle(cell).containIntrinsicHeight.split(" ").pop());
          cell.scrollIntoView();
          await new Promise(drawn => setTimeout(drawn, 300));
          return [far, cell.offsetHeight];
        }"""
    )
    assert abs(reserved - actual) < actual / 4


def test_many_images_are_reduced_and_the_page_states_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from random import Random

    from PIL import Image

    store = store_of(tmp_path, [record(cell(name)) for name in "abcdef"])
    for path in store.root.glob("cells/*/image.png"):  # incompressible noise
        Image.frombytes("RGB", (300, 300), Random(path.parent.name).randbytes(270_000)).save(path)
    usual = page.render(store)
    assert "at most 512 px)" in usual
    monkeypatch.setattr("reports.images.BUDGET", len(usual) // 3)
    small = page.render(store)
    assert "px, reduced to limit the size of the page)" in small
    assert len(small) < len(usual) / 2
    assert "reduced to limit" not in page.write_folder(store).read_text(encoding="utf-8")


def test_the_trade_off_shows_two_scores_and_their_directions(opened: Page) -> None:
    slots = opened.locator(".nst-slot")
    titles = [slot.locator("svg").get_attribute("aria-label") for slot in slots.all()]
    assert titles == [
        "style loss (lower is better) against SSIM (higher is better)",
        "style loss (lower is better) against stylize (lower is better)",
    ]
    score, against = slots.first.locator("select").all()
    against.select_option("stylize_seconds")
    assert slots.first.locator("svg").get_attribute("aria-label") == titles[1]
    # Selecting the same score twice changes the other select.
    against.select_option("style_loss")
    assert score.input_value() != "style_loss"
    assert slots.nth(1).locator("svg").get_attribute("aria-label") == titles[1]


def test_a_mark_shows_its_image_and_numbers_on_hover_and_focus(opened: Page) -> None:
    slot = opened.locator(".nst-slot").first
    card, marks = slot.locator(".nst-card"), slot.locator(".nst-mark")
    assert card.is_visible()  # it initially shows the first variant of the front
    marks.nth(1).hover()
    assert "gatys[adam]" in card.inner_text()
    marks.nth(0).hover()
    assert "gatys[lbfgs]: style loss 0.0200 (circular), SSIM 0.500" in card.inner_text()
    marks.nth(1).focus()
    assert "gatys[adam]" in card.inner_text()
    shown = marks.nth(1).get_attribute("href")
    assert card.locator("img").evaluate("i => i.src") == opened.locator(f"{shown} img").evaluate(
        "i => i.src"
    )
    # adam has the better SSIM, lbfgs the better style loss; johnson covers only one pair.
    front = slot.locator(".nst-front title").all_text_contents()
    assert [words.partition(":")[0] for words in front] == ["gatys[lbfgs]", "gatys[adam]"]


HOSTILE = (
    "</script><img src=x onerror=document.title='evil'>",
    "\"'`onmouseover=alert(1)",
    "\u202eשלום\u202c",
    "long" * 50,
)


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_names_have_no_effect(window: Page, tmp_path: Path, width: int) -> None:
    cells = [
        cell(name, ImageUse(f"{i}", f"{i}" * 64, "x", other), seed=0)
        for i, other in enumerate(HOSTILE)
        for name in HOSTILE
    ]
    records = [record(one, 0.1 + i / 99, 0.1 + i % 5) for i, one in enumerate(cells)]
    window.set_viewport_size({"width": width, "height": 900})
    window.goto(page.write(store_of(tmp_path, records)).as_uri())
    assert variants(window) == list(HOSTILE)
    for button in window.locator(".nst-pin, .nst-sort").all():
        button.click()
    for mark in window.locator(".nst-slot .nst-mark").all():
        mark.focus()
    assert "evil" not in window.title()
    assert window.locator("img[onerror], [onmouseover]").count() == 0
    assert window.evaluate("document.documentElement.scrollWidth") == width
