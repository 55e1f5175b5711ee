"""Links that open the comparison dialog with a stored view."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.compare_dialog import CELLS, dialog, mode, sides, thumbnails

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.helpers.compare_dialog import Shown


def test_a_link_opens_the_same_view_again(opened: Page, chromium: Browser) -> None:
    dialog(opened).locator("[name=b]").select_option(CELLS[5].id)
    dialog(opened).locator(".nst-stage").focus()
    for key in ("4", "+", "+", "ArrowRight"):
        opened.keyboard.press(key)
    opened.wait_for_function("() => location.hash.includes('zoom=')")
    assert f"#compare=side;a={CELLS[0].id};b={CELLS[5].id};zoom=1.5625;" in opened.url
    look = "() => document.querySelector('.nst-stage').style.cssText"
    again = chromium.new_page(viewport={"width": 1440, "height": 900})
    again.goto(opened.url)
    assert (mode(again), sides(again)) == ("side", [CELLS[0].id, CELLS[5].id])
    assert again.evaluate(look) == opened.evaluate(look)
    again.keyboard.press("Escape")
    again.wait_for_function("() => !location.hash")
    again.evaluate(f"() => {{ location.hash = '#compare=difference;a={CELLS[4].id}' }}")
    again.wait_for_selector("#nst-compare[open]")
    assert (mode(again), sides(again)[0]) == ("difference", CELLS[4].id)
    again.close()


@pytest.mark.parametrize(
    "link", ["a=nothing", "compare=side", "compare=side;a", "a=1;length=2;__proto__=3", "%%%;=;"]
)
def test_an_invalid_link_does_not_open_the_dialog(window: Page, path: Path, link: str) -> None:
    window.goto(f"{path.as_uri()}#{link}")
    assert not dialog(window).is_visible()


def test_invalid_values_in_a_link_use_the_defaults(window: Page, path: Path) -> None:
    odd = "compare=evil;zoom=1e9;x=NaN;cut=-5;gain=x;length=2;b=?"
    window.goto(f"{path.as_uri()}#a={CELLS[1].id};{odd}")
    assert (mode(window), sides(window)) == ("slider", [CELLS[1].id, f"content.{CELLS[0].id}"])
    style = window.locator(".nst-stage").get_attribute("style") or ""
    assert re.search(r"--cut: 0;.*--gain: \d+;.*--zoom: 16;.*--x: 0;", style)


def test_the_link_is_copied_or_selected_for_copying(shown: Shown, window: Page) -> None:
    thumbnails(shown).first.click()
    message = dialog(shown).locator("[data-nst=message]")
    dialog(shown).get_by_text("Copy link").click()
    assert message.inner_text() == "Copied"
    message.evaluate("() => { document.execCommand = () => false }")
    dialog(shown).get_by_text("Copy link").click()
    assert f"#compare=slider;a={CELLS[0].id};b=content." in message.inner_text()
    assert message.evaluate("() => String(getSelection())") == message.inner_text()
