"""The comparison dialog of the page: the records it shows, and access to its fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.report_page import CAT, CUP, HOSTILE, cell

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Locator, Page

    Shown = Page | FrameLocator

VARIANTS = {"gatys[adam]": 0.5, "gatys[lbfgs]": 0.75, "identity": 1.0}
CELLS = [cell(variant, content) for content in (CUP, CAT) for variant in VARIANTS]
"""Two rows of content, style and three variants; the red channel of cell n is 30 n."""

HUGE = cell("huge", CUP)
EVIL = [f"{HOSTILE}{end}" for end in ("", "\u202e\u05d0\u05d1", "x" * 200, ";b=1&compare=side")]


def thumbnails(shown: Shown) -> Locator:
    return shown.locator(".nst-cell .nst-enlarge")


def dialog(shown: Shown) -> Locator:
    return shown.locator("#nst-compare")


def sides(shown: Shown) -> list[str]:
    """Return the values of A and B: the id of a cell, or a role and the first cell of its row."""
    return [dialog(shown).locator(f"[name={side}]").input_value() for side in "ab"]


def mode(shown: Shown) -> str | None:
    return dialog(shown).locator("[name=compare]:checked").get_attribute("value")


def percent(shown: Shown) -> int:
    return int(dialog(shown).locator("[data-nst=percent]").inner_text().removesuffix(" %"))
