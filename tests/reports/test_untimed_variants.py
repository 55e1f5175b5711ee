"""The page of variants whose times were not measured, or include the start-up of a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.records import Claim, Record, Timing
from reports import page
from tests.helpers.browser import monitored
from tests.helpers.report_page import CAT, CUP, Page, board_row, cell, record, store_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TIMING = Timing(2.0, False, 4.0, 1, 0.1, 5, (9.0, 10.0, 11.0), 512.0, "process")
TIMES: dict[str, Timing | None] = {
    "slow": TIMING,
    "quick": replace(TIMING, stylize_seconds=3.0),
    "theirs": None,
    "command": replace(TIMING, stylize_seconds=1.0, fit_seconds=1.0, includes_start_up=True),
    "identity": replace(TIMING, stylize_seconds=0.001),
}
SSIM = {"slow": 0.6, "quick": 0.5, "theirs": 0.9, "command": 0.8, "identity": 1.0}
COSTS = ("stylize_seconds", "fit_seconds", "pass_ms", "peak_mb")


def records() -> Iterator[Record]:
    for variant, timing in TIMES.items():
        for content in (CUP, CAT):
            loss = 1 - SSIM[variant]
            yield record(cell(variant, content), SSIM[variant], loss, timing=timing)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    claims = [
        Claim(f"T{i}", "It is quicker.", "variant", ("slow", other), "stylize_seconds", "lower")
        for i, other in enumerate(("quick", "theirs", "command"))
    ]
    out = tmp_path_factory.mktemp("runs")
    return page.write(store_of(out, list(records()), claims=tuple(claims)))


@pytest.fixture(scope="module")
def html(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_the_leaderboard_says_not_measured_and_ranks_comparable_times_only(html: Page) -> None:
    theirs = board_row(html, "theirs")
    assert [theirs[cost] for cost in COSTS] == [("not measured", False, False)] * 4
    assert theirs["ssim"][:2] == ("0.900 ± 0 · n 2", True)
    # 1 s is less than 3 s, but includes the start-up of a program.
    assert board_row(html, "quick")["stylize_seconds"][:2] == ("3.00 ± 0 · n 2", True)
    command = board_row(html, "command")
    assert command["stylize_seconds"][:2] == ("1.002 ± 0 · n 2", False)
    assert not command["fit_seconds"][1]
    board = html.all("section", id="panel-leaderboard")[0]
    (note,) = (e.words for e in html.all("li") if html.inside(board, e) and "start-up" in e.words)
    assert note.startswith("Includes start-up: a program starts and loads its weights")


def test_the_grid_says_under_each_image_what_its_time_contains(html: Page) -> None:
    def chip(variant: str) -> tuple[str, str]:
        first = html.all("figure", data_variant=variant)[0]
        terms = [e for e in html.all("dt") if html.inside(first, e) and e.words == "stylize"]
        values = [e for e in html.all("dd") if html.inside(first, e)]
        return values[-1].words, terms[0].attributes.get("title", "")

    assert chip("theirs") == ("not measured", "")
    assert chip("command")[0] == "1.00 s *"
    assert "includes start-up" in chip("command")[1]
    assert chip("slow")[0] == "4.00 s"
    assert "start-up" not in chip("slow")[1]


def test_the_trade_off_leaves_such_variants_out_of_plots_of_seconds_and_names_them(
    html: Page,
) -> None:
    def marks(x: str) -> set[str]:
        plots = html.all("figure", class_="nst-scatter", data_x=x, data_y="style_loss")
        titles = (e.words for e in html.all("title") if html.inside(plots[0], e))
        return {title.partition(":")[0] for title in titles}

    assert marks("stylize_seconds") == {"slow", "quick"}
    assert marks("ssim") >= {"slow", "quick", "theirs", "command"}
    section = html.all("section", id="panel-tradeoff")[0].words
    assert "not comparable: theirs (not measured); command (includes start-up)." in section


def test_claims_about_such_times_have_no_verdict_and_the_reason(html: Page) -> None:
    section = html.all("section", id="panel-claims")[0].words
    assert section.count("unavailable") == 2
    assert "not measured" in section
    assert "includes start-up at one level only" in section


def test_sorting_by_time_puts_comparable_times_first(chromium: Browser, written: Path) -> None:
    window = chromium.new_page(viewport={"width": 1280, "height": 900})
    with monitored(window):
        window.goto(written.as_uri())
        window.click('#panel-leaderboard th[data-column="stylize_seconds"] .nst-sort')
        rows = window.query_selector_all("#panel-leaderboard tbody:not(.nst-anchors) tr")
        assert [row.get_attribute("data-variant") for row in rows] == [
            "quick", "slow", "theirs", "command",
        ]  # fmt: skip


def test_an_ablation_says_why_it_has_no_effect_on_a_time(tmp_path: Path) -> None:
    times = {"command[run]": TIMES["command"], "command[serve]": TIMING, "command[read]": None}
    all_ = [
        record(cell(variant, content), 0.5, timing=timing)
        for variant, timing in times.items()
        for content in (CUP, CAT)
    ]
    html = Page(page.render(store_of(tmp_path, all_)))
    section = html.all("section", id="panel-ablation")[0]
    cells = [e.words for e in html.all("td", class_="nst-muted") if html.inside(section, e)]
    assert "includes start-up at one level only" in cells
    assert "not measured" in cells
