"""The timeline panel: intermediate images at the same pass."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.execution.image_encoding import encode_snapshot
from harness.execution.machine.timing import is_snapshot
from harness.records import Failure, TracePoint
from harness.store import Store
from reports import page
from reports.panels import timeline
from reports.view_model import View
from tests.helpers.browser import FRAME, monitored
from tests.helpers.report_page import CAT, CUP, cell, png, record, store_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LONG, SHORT, BROKEN = "gatys[lbfgs]", "gatys[adam]", "gatys[sgd]"
PASSES = {LONG: 12, SHORT: 4, BROKEN: 4}


def stored(out: Path) -> Store:
    """Store two pairs and two seeds of optimisations with 12 and 4 passes; one diverged."""
    variants = {**PASSES, "johnson": 0}
    cells = [cell(v, content, seed=s) for content in (CUP, CAT) for s in (0, 1) for v in variants]
    records = [record(one, 0.5 + index / 100) for index, one in enumerate(cells)]
    store = store_of(out, records)
    for shade, one in enumerate(records):
        passes = variants[one.cell.variant]
        if passes == 0:
            continue
        steps = [step for step in range(1, passes + 1) if is_snapshot(step, passes)]
        grey = {step: np.full((30, 40, 3), 8 * shade + step, np.uint8) for step in steps}
        trace = [TracePoint("stylize", i, i / 2, {"total": 8 / i}) for i in range(1, passes + 1)]
        if one.cell.variant == BROKEN:
            one = record(one.cell, status="diverged", failure=Failure("Diverged", "to infinity"))
        encoded = {step: encode_snapshot(pixels) for step, pixels in grey.items()}
        store.write(one, png((shade, 0, 0)), trace, encoded)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return stored(tmp_path_factory.mktemp("runs"))


def test_a_strip_contains_all_passes_up_to_the_stylized_image(store: Store) -> None:
    view = View(store)
    records = timeline._with_snapshots(view, view.pairs(64)[0])
    strips = {one.cell.variant: timeline._strip(view, one) for one in records}
    assert list(strips) == [
        LONG,
        SHORT,
        BROKEN,
    ]  # no johnson (a network), no seed 1
    assert {s.record.cell.seed for s in strips.values()} == {0}
    assert [frame.step for frame in strips[LONG].frames] == [1, 2, 5, 10, 12]
    assert [frame.step for frame in strips[SHORT].frames] == [1, 2, 4]
    assert [frame.step for frame in strips[BROKEN].frames] == [1, 2]  # it has no stylized image
    # Pass 10 starts after 10 / 2 seconds and has the loss 8 / 10.
    assert strips[LONG].frames[3].caption == "5.00 s, loss 0.800"


def test_captions_contain_the_losses_of_the_saved_image_and_of_raw_pixels(
    tmp_path: Path,
) -> None:
    one = record(cell(LONG))
    store = store_of(tmp_path, [one])
    trace = [
        TracePoint("stylize", 1, 0.5, {"total": 8.0}, {"total": 8.25}),
        TracePoint("stylize", 2, 1.0, {"total": 6.0}),
        TracePoint("stylize", 3, 1.5, {"total": 7.0}, {"total": 9.5}),
    ]
    store.write(one, png(), trace, {1: encode_snapshot(np.zeros((30, 40, 3), np.uint8))})
    view = View(store)
    assert [frame.caption for frame in timeline._strip(view, one).frames] == [
        "0.500 s, loss 8.25 (saved image), 8.00 (raw pixels)",
        "1.50 s, loss 9.50 (saved image), 6.00 (raw pixels)",  # the lowest so far
    ]
    assert "clamped to [0, 1] and rounded to 8 bits" in (timeline.render(view) or "")


def test_intermediate_images_are_not_compressed_twice(store: Store) -> None:
    path = next(iter(store.snapshots(store.run().cells[0]).values()))
    found = View(store).snapshot(path)
    assert found is not None
    assert base64.b64decode(found.source.partition(",")[2]) == path.read_bytes()


def test_pairs_beyond_the_size_limit_are_omitted_and_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "pairs are shown" not in (timeline.render(View(store)) or "")
    monkeypatch.setattr(timeline, "BUDGET", 1)
    text = timeline.render(View(store)) or ""
    assert "Only the first 1 of 2 pairs are shown, to limit the size of the page" in text
    assert text.count('class="nst-scene"') == 1


def test_a_suite_without_optimisations_has_no_timeline(tmp_path: Path) -> None:
    assert timeline.render(View(store_of(tmp_path, [record(cell("johnson"))]))) is None


def shown(window: Page) -> list[str]:
    """Return the variant and pass of every visible strip."""
    strips = window.locator(".nst-strip:visible").all()
    return [
        f"{strip.locator('figcaption').inner_text().split('[')[1][:-1]} "
        f"{strip.locator('[data-step]:not([hidden])').get_attribute('data-step')}"
        for strip in strips
    ]


@pytest.mark.parametrize("framed", [False, True])
def test_the_slider_sets_all_images_of_a_pair_to_the_same_pass(
    store: Store, chromium: Browser, framed: bool
) -> None:
    from playwright.sync_api import expect

    html = page.write(store)
    with monitored(chromium.new_page(viewport={"width": 390, "height": 900})) as window:
        window.goto("about:blank" if framed else html.as_uri())
        place = window
        if framed:
            window.evaluate(FRAME, html.read_text())
            place = window.frame_locator("iframe")  # type: ignore[assignment]
        slider = place.get_by_role("slider", name="After")
        slider.focus()
        assert shown(place) == ["lbfgs 12", "adam 4", "sgd 2"]
        for text, expected in (
            (
                "10 passes",
                ["lbfgs 10", "adam 4", "sgd 2"],
            ),  # shorter ones stay at their end
            ("5 passes", ["lbfgs 5", "adam 4", "sgd 2"]),
            ("4 passes", ["lbfgs 2", "adam 4", "sgd 2"]),  # lbfgs has no image of pass 4
            ("2 passes", ["lbfgs 2", "adam 2", "sgd 2"]),
            ("1 pass", ["lbfgs 1", "adam 1", "sgd 1"]),
        ):
            window.keyboard.press("ArrowLeft")
            assert shown(place) == expected
            assert slider.evaluate("e => e.ariaValueText") == text
        first = place.locator(".nst-strip:visible [data-step]:not([hidden]) img").first
        first.scroll_into_view_if_needed()  # lazy images load when visible
        expect(first).to_have_js_property("naturalWidth", 40)
        place.locator(".nst-timeline select").select_option("cat × wave")
        assert place.locator(".nst-scene:visible").count() == 1
        assert shown(place) == ["lbfgs 1", "adam 1", "sgd 1"]
