"""Compare two images in a browser: by mouse, keyboard and touch."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from reports.templating import static
from tests.helpers.compare_dialog import CELLS, EVIL, HUGE, dialog, mode, percent, sides, thumbnails
from tests.reports.test_page_in_browser import SCHEMES, WIDTHS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.helpers.compare_dialog import Shown


def red(window: Page, across: float = 0.5) -> int:
    """Return the red value of the screen at 30 % of the height of the first image."""
    with Image.open(io.BytesIO(window.screenshot())) as image:
        box = window.locator(".nst-pane").first.bounding_box()
        assert box is not None
        at = (box["x"] + box["width"] * across, box["y"] + box["height"] * 0.3)
        pixel: Any = image.getpixel((int(at[0]), int(at[1])))
    return int(pixel[0])


def test_an_image_opens_next_to_its_content_and_focus_returns(shown: Shown, window: Page) -> None:
    button = thumbnails(shown).nth(5)  # second image of the second row
    button.focus()
    window.keyboard.press("Enter")
    assert sides(shown) == [CELLS[4].id, f"content.{CELLS[3].id}"]
    assert dialog(shown).locator("img").count() == 2
    window.keyboard.press("ArrowRight")
    window.keyboard.press("Escape")
    assert not dialog(shown).is_visible()
    assert button.evaluate("e => e === document.activeElement")


def test_a_content_opens_next_to_a_result_and_a_style_next_to_the_content(
    opened: Page,
) -> None:
    opened.keyboard.press("Escape")
    opened.locator("[data-role=content] button").first.click()
    assert sides(opened) == [f"content.{CELLS[0].id}", CELLS[0].id]
    dialog(opened).locator(".nst-close").click()
    opened.locator("[data-role=style] button").last.click()
    assert sides(opened) == [f"style.{CELLS[3].id}", f"content.{CELLS[3].id}"]


def test_arrow_keys_move_along_the_row_and_between_pairs(shown: Shown, window: Page) -> None:
    thumbnails(shown).first.click()
    contents = [f"content.{CELLS[row].id}" for row in (0, 3)]
    window.keyboard.press("ArrowRight")
    assert sides(shown) == [CELLS[1].id, contents[0]]
    window.keyboard.press("ArrowDown")
    assert sides(shown) == [CELLS[4].id, contents[1]]  # B follows
    window.keyboard.press("ArrowUp")
    window.keyboard.press("ArrowLeft")
    window.keyboard.press("ArrowLeft")
    assert sides(shown) == [f"style.{CELLS[0].id}", contents[0]]
    window.keyboard.press("s")
    assert sides(shown) == [contents[0], f"style.{CELLS[0].id}"]


def test_any_two_images_can_be_picked_by_pair(opened: Page) -> None:
    picks = dialog(opened).locator("[name=b]")
    assert picks.locator("optgroup").evaluate_all("all => all.map(one => one.label)") == [
        "cup × wave", "cat × wave"
    ]  # fmt: skip
    assert picks.locator("option").count() == 2 * (2 + 3) + 1
    picks.select_option(CELLS[5].id)
    dialog(opened).get_by_label("Swap").click()
    assert sides(opened) == [CELLS[5].id, CELLS[0].id]


def test_keys_and_clicks_select_the_same_modes(shown: Shown, window: Page) -> None:
    thumbnails(shown).first.click()
    names = ["slider", "flicker", "difference", "side"]
    for key, name in enumerate(names, 1):
        window.keyboard.press(str(key))
        assert mode(shown) == name
    for name in names:
        dialog(shown).locator(f"label:has([value={name}])").click()
        assert mode(shown) == name


def test_the_slider_divides_the_images_at_its_handle(opened: Page) -> None:
    dialog(opened).locator("[name=b]").select_option(CELLS[5].id)
    assert red(opened, 0.45) < 10 < 140 < red(opened, 0.55)
    cut = dialog(opened).locator("[name=cut]")
    box = cut.bounding_box()
    assert box is not None
    opened.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.6)
    assert red(opened, 0.45) > 140
    before = float(cut.input_value())
    opened.keyboard.press("ArrowRight")  # arrow keys move the focused handle
    assert float(cut.input_value()) > before
    assert sides(opened) == [CELLS[0].id, CELLS[5].id]


def test_flicker_follows_the_space_key_and_a_held_button(opened: Page) -> None:
    dialog(opened).locator("[name=b]").select_option(CELLS[5].id)
    dialog(opened).locator(".nst-stage").focus()
    opened.keyboard.press("2")
    assert red(opened) < 10
    opened.keyboard.press("Space")
    assert red(opened) > 140
    opened.keyboard.press("Space")
    hold = dialog(opened).get_by_text("Hold to show B")
    hold.hover()
    opened.mouse.down()
    assert red(opened) > 140
    opened.mouse.move(5, 300)  # also if the pointer leaves the button
    opened.mouse.up()
    assert red(opened) < 10
    hold.focus()
    opened.keyboard.press("Space")
    assert hold.get_attribute("aria-pressed") == "true"


def test_equal_pixels_have_a_black_difference_which_can_be_amplified(opened: Page) -> None:
    opened.keyboard.press("3")
    picks, gain = dialog(opened).locator("[name=b]"), dialog(opened).locator("[name=gain]")
    picks.select_option(CELLS[0].id)
    assert red(opened) == 0
    picks.select_option(CELLS[1].id)  # red differs by 30
    assert red(opened) == pytest.approx(4 * 30, abs=12)
    gain.focus()
    opened.keyboard.press("Home")
    assert red(opened) == pytest.approx(30, abs=3)
    assert "× 1" in dialog(opened).inner_text()


def test_both_images_share_zoom_and_pan(shown: Shown, window: Page) -> None:
    thumbnails(shown).first.click()
    window.keyboard.press("4")
    images = dialog(shown).locator(".nst-pane img")
    drawn = "all => all.map(one => getComputedStyle(one).transform)"
    fit = images.evaluate_all(drawn)
    pane = dialog(shown).locator(".nst-pane").last
    pane.hover(position={"x": 20, "y": 20})
    window.mouse.wheel(0, -400)
    assert len(set(images.evaluate_all(drawn))) == 1
    assert images.evaluate_all(drawn) != fit
    zoomed = images.evaluate_all(drawn)
    window.mouse.down()
    window.mouse.move(300, 300)
    window.mouse.up()
    assert len(set(images.evaluate_all(drawn))) == 1
    dragged = images.evaluate_all(drawn)
    window.keyboard.press("ArrowRight")
    assert images.evaluate_all(drawn) not in (zoomed, dragged)
    assert sides(shown)[0] == CELLS[0].id  # arrow keys pan if zoomed in
    window.keyboard.press("Shift+ArrowRight")
    assert sides(shown)[0] == CELLS[1].id
    window.keyboard.press("0")
    assert images.evaluate_all(drawn) == fit


def test_an_image_is_smooth_up_to_200_percent_and_pixelated_above(opened: Page) -> None:
    dialog(opened).locator("[name=a]").select_option(HUGE.id)
    dialog(opened).locator(".nst-stage").focus()
    rendering = "e => getComputedStyle(e).imageRendering"
    image = dialog(opened).locator(".nst-pane img").first
    assert (percent(opened) <= 200, image.evaluate(rendering)) == (True, "auto")
    while percent(opened) <= 200:
        opened.keyboard.press("+")
    assert image.evaluate(rendering) == "pixelated"
    opened.keyboard.press("-")
    assert image.evaluate(rendering) == "auto"
    assert "shown at 512 × 384 of 1200 × 900 pixels" in dialog(opened).inner_text()


def test_two_fingers_zoom(opened: Page) -> None:
    opened.keyboard.press("4")
    before = percent(opened)
    touches = opened.context.new_cdp_session(opened)
    box = opened.locator(".nst-pane").first.bounding_box()
    assert box is not None
    middle, height = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, distance in (("Start", 40), ("Move", 80), ("Move", 120)):
        points = [{"x": middle + side * distance, "y": height, "id": side + 1} for side in (-1, 1)]
        touches.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert percent(opened) == pytest.approx(3 * before, rel=0.05)


def test_the_better_image_shows_the_difference(opened: Page) -> None:
    dialog(opened).locator("[name=b]").select_option(CELLS[1].id)
    words = [side.inner_text() for side in dialog(opened).locator(".nst-captions > div").all()]
    assert ["better by 0.25" in side for side in words] == [False, True]
    assert ["gatys[adam]" in words[0], "gatys[lbfgs]" in words[1]] == [True, True]
    assert "cup × wave" in words[0]


@pytest.mark.parametrize("window", [(w, s) for w in WIDTHS for s in SCHEMES], indirect=True)
def test_the_dialog_fits_the_window_and_is_accessible(window: Page, path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    window.goto(path.as_uri())
    thumbnails(window).first.click()
    dialog(window).locator("[name=b]").select_option(CELLS[1].id)
    for key in "1234":
        dialog(window).locator(f"label:nth-of-type({key})").first.click()
        fits = "e => e.scrollWidth <= innerWidth && e.offsetWidth <= innerWidth"
        assert dialog(window).evaluate(fits)
        found = Axe().run(window, "#nst-compare", {"preload": False}).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_images_keep_their_place_in_all_modes(opened: Page) -> None:
    frames = []
    for key in "123":
        opened.keyboard.press(key)
        frames.append(opened.locator(".nst-pane").first.bounding_box())
    assert frames[0] == frames[1] == frames[2]


def test_hostile_names_have_no_effect(window: Page, evil: Path) -> None:
    window.on("dialog", lambda box: pytest.fail(box.message))
    window.goto(evil.as_uri())
    thumbnails(window).first.click()
    for key in ("ArrowDown", "ArrowRight", "s", "ArrowDown", "4", "3"):
        window.keyboard.press(key)
    assert window.locator("img[src=x], [onerror]").count() == 0
    labels = dialog(window).locator("[name=a] option").evaluate_all("all => all.map(o => o.text)")
    assert len([label for label in labels if "onerror=alert(1)" in label]) == len(EVIL)
    assert window.evaluate("document.documentElement.scrollWidth") <= 1440
    window.set_viewport_size({"width": 390, "height": 844})
    assert dialog(window).evaluate("e => e.scrollWidth <= innerWidth")


def test_the_scripts_of_the_page_are_small() -> None:
    assert sum(len(script.splitlines()) for script in static("js")) < 400
