"""The page in a browser, opened from a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from harness.records import (
    Cell,
    Claim,
    EncoderUse,
    Failure,
    ImageUse,
    Record,
    Run,
    Score,
    TracePoint,
)
from harness.store import Store
from reports import page
from tests.helpers.browser import monitored

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ENCODER = EncoderUse("vgg19", "e" * 64, "torchvision")
WAVE = ImageUse("wave", "9" * 64, "painted", stand_in="swirls", why_stand_in="no network")
CLAIM = Claim("C1", "More is more.", "number", (0, 1), "ssim", "higher", "gatys")
CLAIMS = (CLAIM, replace(CLAIM, id="C2", predicts="lower"), replace(CLAIM, id="C3", smallest=2.0),
          replace(CLAIM, id="C4", levels=(0, 9)), replace(CLAIM, id="C5", levels=(0, 2)),
          replace(CLAIM, id="C6", predicts="none", control="null"))  # fmt: skip
"""Supported, contradicted, equivalent, not tested, an illustration, and a control that fails."""

WIDTHS, SCHEMES = (390, 1440), ("light", "dark")


def png(color: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(buffer, "PNG")
    return buffer.getvalue()


def cell(number: int, row: int, style: ImageUse = WAVE) -> Cell:
    variant = f"gatys[optimizer=adam,init=noise,number={number}]"
    content = ImageUse(f"content-{row}", f"{row}" * 64, "https://example.org/" + "long" * 30)
    return Cell(
        "artists", variant, "gatys", "gatys", 1, {"number": number}, {"number": number},
        content, style, 64, 0, ENCODER, "float32", "cpu",
    )  # fmt: skip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with seven variants, larger than the windows.

    All variants have four pairs, and two of them have six styles and six contents.
    """
    store = Store(tmp_path_factory.mktemp("runs"), "artists")
    cells = [cell(number, row) for row in range(4) for number in range(7)]
    trace = [TracePoint("stylize", i, i / 10, {"total": 100 / (i + 1)}) for i in range(20)]
    for index, one in enumerate(cells):
        scores = (Score("ssim", index / 30, "", "higher", "pixels"),)
        image = png((8 * index, 90, 60))
        store.write(Record(one, "done", scores), image, trace, {1: image, 10: image})
        for use in (one.content, one.style):
            store.write_input(use, 64, png((90, 90, 25 * int(use.sha256[0]))))
    styles = [WAVE, *(replace(WAVE, name=f"wave{i}", sha256=f"8{i}" * 32) for i in range(5))]
    more = [cell(n, row, style) for style in styles for row in range(6) for n in range(2)]
    more = [one for one in more if one.id not in {known.id for known in cells}]
    for index, one in enumerate(more):
        scores = (Score("ssim", 0.3 + one.params["number"] / 5 + index / 3000, "", "higher", ""),)
        store.write(Record(one, "done", scores), png((8, 2 * index, 60)), trace)
        for use in (one.content, one.style):
            store.write_input(use, 64, png((90, 90, 25 * int(use.sha256[0]))))
    failure = Failure("RuntimeError", "x" * 300, "y" * 300)
    store.write(Record(cells[3], "failed", failure=failure), None, [])
    ids = tuple(one.id for one in (*cells, *more))
    store.write_run(
        Run("artists", "Who?", "laptop", ids, (), ("ssim",), ENCODER, "cpu", "float32",
            command="nstbench run " + "suites/artists.yaml," * 20, claims=CLAIMS, finished=True)
    )  # fmt: skip
    return page.write(store).as_uri()


@pytest.fixture
def opened(chromium: Browser, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page in a window; browser errors and requests fail the test."""
    width, scheme = getattr(request, "param", (1440, "light"))
    window = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    with monitored(window, lambda url: known(url, address)):
        window.goto(address)
        yield window


def known(url: str, address: str) -> bool:
    return url.startswith("data:") or url.partition("#")[0] == address


def evaluate(window: Page, script: str) -> Any:
    return window.evaluate(script)


def background(window: Page) -> int:
    """Return the brightness of the background, 0 to 765."""
    color: str = evaluate(window, "getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in color[4:-1].split(","))


@pytest.mark.parametrize("opened", [(w, s) for w in WIDTHS for s in SCHEMES], indirect=True)
def test_the_page_fits_the_window_in_both_colour_schemes(opened: Page) -> None:
    assert evaluate(opened, "document.documentElement.scrollWidth") == opened.viewport_size["width"]
    assert evaluate(opened, "document.images.length") > 7 * 4
    # Each table that is wider than the window scrolls in its own box within the window.
    boxes = ".nst-scroll"
    assert evaluate(
        opened,
        f"[...document.querySelectorAll('{boxes}')].every(b => b.offsetWidth <= innerWidth)",
    )


@pytest.mark.parametrize(
    ("opened", "bright"), [((1440, "light"), True), ((1440, "dark"), False)], indirect=["opened"]
)
def test_the_page_follows_the_colour_scheme(opened: Page, bright: bool) -> None:
    assert (background(opened) > 600) is bright


def test_repeated_images_are_shown_everywhere(opened: Page) -> None:
    evaluate(opened, "document.querySelectorAll('img').forEach(i => { i.loading = 'eager' })")
    opened.wait_for_function(
        "[...document.querySelectorAll('main img')].every(i => i.complete && i.naturalWidth > 1)"
    )


def test_headers_of_the_grid_stay_visible(opened: Page) -> None:
    pane = opened.locator(".nst-tall")
    pane.scroll_into_view_if_needed()
    pane.evaluate("e => e.scrollTo(500, 300)")
    frame = pane.bounding_box()
    corner = opened.locator(".nst-grid thead th").first.bounding_box()
    assert frame is not None
    assert corner is not None
    assert abs(corner["x"] - frame["x"]) <= 2
    assert abs(corner["y"] - frame["y"]) <= 2


def test_the_content_security_policy_blocks_other_scripts(chromium: Browser, address: str) -> None:
    window = chromium.new_page()
    window.goto(address)
    blocked = window.evaluate(
        """() => { const s = document.createElement('script'); s.textContent = 'window.evil = 1';
                   document.body.append(s); return window.evil === undefined }"""
    )
    window.close()
    assert blocked


CONTRAST = """() => {
  const brightness = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = brightness(getComputedStyle(document.body).backgroundColor);
  const words = [...document.querySelectorAll(".nst-verdict, .nst-effect, .nst-factor")];
  return words.map((word) => {
    const ink = brightness(getComputedStyle(word).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
}"""
"""Contrast with the background by WCAG 2.2, which requires 4.5 for small text."""


@pytest.mark.parametrize("opened", [(1440, scheme) for scheme in SCHEMES], indirect=True)
def test_verdicts_have_enough_contrast_in_both_colour_schemes(opened: Page) -> None:
    words = opened.locator("[data-metric=ssim] .nst-verdict").all_inner_texts()
    assert [word.split()[1] for word in words] == [
        "supported", "contradicted", "equivalent", "not", "illustration", "contradicted"
    ]  # fmt: skip
    assert min(evaluate(opened, CONTRAST)) >= 4.5


def test_a_forest_plot_stays_in_its_cell_and_is_hidden_from_screen_readers(opened: Page) -> None:
    marks = opened.locator(".nst-plot .nst-estimate")
    assert marks.count() == 5  # all except the untested claim
    for mark in marks.all():
        inner, outer = mark.bounding_box(), mark.locator("xpath=ancestor::td").bounding_box()
        assert inner is not None
        assert outer is not None
        assert outer["x"] <= inner["x"] < inner["x"] + inner["width"] <= outer["x"] + outer["width"]
    assert opened.locator(".nst-plot svg:not([aria-hidden=true])").count() == 0
    clipped = "getComputedStyle(document.querySelector('.nst-plot')).overflow"
    assert evaluate(opened, clipped) == "clip"  # otherwise the shaded range covers the whole page


def test_controls_are_rows_of_their_table_on_screen_and_in_print(opened: Page) -> None:
    row = opened.locator("#panel-claims tbody.nst-controls tr[data-metric]").first
    above = opened.locator("#panel-claims tbody:not(.nst-controls) tr[data-metric]").first
    for medium in ("screen", "print"):
        opened.emulate_media(media=medium)  # type: ignore[arg-type]
        assert row.is_visible()
        (own, other) = (one.bounding_box() for one in (row, above))
        assert own is not None
        assert other is not None
        assert (own["x"], own["width"]) == (other["x"], other["width"])


SHOWN = """() => [...document.querySelectorAll(".nst-charts svg")].map((chart) => {
  const paths = [...chart.querySelectorAll(".nst-line path")].filter((p) => p.checkVisibility());
  const lines = chart.querySelectorAll(".nst-line").length;
  return [paths.length / lines, ...new Set(paths.map((path) => path.getAttribute("class")))];
})"""
"""Number and classes of the visible paths of each chart."""


@pytest.mark.parametrize("opened", [(390, "light")], indirect=True)
def test_the_axes_of_curves_can_be_selected_by_keyboard(opened: Page) -> None:
    charts = opened.locator(".nst-charts svg").count()
    assert evaluate(opened, SHOWN) == [[1, "nst-on-steps nst-on-log"]] * charts
    opened.get_by_role("group", name="X axis").get_by_role("radio", name="passes").focus()
    for key in ("ArrowRight", "Tab", "ArrowRight"):
        opened.keyboard.press(key)
    for medium in ("screen", "print"):
        opened.emulate_media(media=medium)  # type: ignore[arg-type]
        assert evaluate(opened, SHOWN) == [[1, "nst-on-seconds nst-on-linear"]] * charts
        for kind in ("on-seconds", "on-linear", "on-steps", "on-log"):
            ticks = opened.locator(f".nst-charts svg g.nst-{kind}").first
            assert ticks.is_visible() is (kind in ("on-seconds", "on-linear"))
        assert opened.locator(".nst-axes").is_visible() is (medium == "screen")
    opened.emulate_media(media="screen")
    assert evaluate(opened, "document.documentElement.scrollWidth") == 390


def test_closed_sections_are_printed(opened: Page) -> None:
    hidden = opened.locator("#panel-claims .nst-procedure")
    assert not hidden.is_visible()
    evaluate(opened, "dispatchEvent(new Event('beforeprint'))")
    assert hidden.is_visible()


@pytest.mark.parametrize("opened", [(390, "dark")], indirect=True)  # slow
def test_the_whole_page_is_accessible(opened: Page) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for folded in opened.locator("details").all():
        folded.evaluate("e => e.open = true")
    found = Axe().run(opened, options={"preload": False}).response["violations"]
    problems = {one["id"]: [node["html"] for node in one["nodes"]] for one in found}
    assert problems == {}
