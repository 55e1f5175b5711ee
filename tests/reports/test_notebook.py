"""The grid that a notebook shows: complete, limited, escaped, and readable on any background."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from harness.records import Cell, EncoderUse, Failure, ImageUse, Record, Run, Skip
from harness.resources.images import to_png
from harness.store import Store
from reports import notebook
from reports.view_model import View
from tests.helpers.browser import monitored

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ENCODER = EncoderUse("random", "0", "seed 0")
EVIL = '<img src=x onerror="alert(1)">'


def make_store(out: Path, *, pairs: int, variants: int) -> Store:
    """Store images of noise, which compress worst; each image of a content is another one."""
    rng, store, cells = np.random.default_rng(0), Store(out, "s"), []

    def png() -> bytes:
        return to_png(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8))

    for pair in range(pairs):
        content, style = (ImageUse(f"{r}{pair}", f"{r}{pair}", "") for r in ("content", "style"))
        for use in (content, style):
            store.write_input(use, 128, png())
        for variant in range(variants):
            names, params = (f"v{variant}", f"v{variant}", "gatys", 1), {"number": variant}
            places = (content, style, 128, 0, ENCODER, "float32", "cpu")
            cells.append(Cell("s", *names, params, {}, *places))
            store.write(Record(cells[-1], "done"), png(), [])
    store.write_run(Run("s", "", "", tuple(c.id for c in cells), (), (), ENCODER, "cpu", "float32"))
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("large"), pairs=8, variants=8)


def test_the_grid_contains_its_images_and_is_limited_in_size(store: Store) -> None:
    html = notebook.render(View(store))
    sources = re.findall(r'<img src="([^"]*)"', html)
    assert len(sources) == 6 * (2 + 6)
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    assert len(html) < 1_000_000
    assert "6 of 8 pairs and 6 of 8 variants." in html
    assert not re.search(r"<(script|style|link)|https?:|src=\"(?!data:)", html)


def test_an_image_that_occurs_twice_is_complete_twice(tmp_path: Path) -> None:
    """The page shares repeated images by a script, which a notebook does not run."""
    store = make_store(tmp_path, pairs=1, variants=2)
    first, second = store.records(store.run())
    image = store.image(first.cell.id)
    assert image
    store.write(second, image.read_bytes(), [])
    sources = re.findall(r'<img src="([^"]*)"', notebook.render(View(store)))
    assert sources[2] == sources[3]


def test_names_and_messages_are_escaped_and_reasons_are_shown(tmp_path: Path) -> None:
    store = make_store(tmp_path, pairs=1, variants=2)
    first, second = store.records(store.run())
    cell = replace(first.cell, variant=EVIL, content=replace(first.cell.content, name=EVIL))
    store.write(Record(cell, "out_of_memory", failure=Failure("x", EVIL)), None, [])
    skip = Skip(f"{EVIL}/s0", EVIL, second.cell.pair, EVIL)
    store.write_run(replace(store.run(), skipped=(skip,), suite=EVIL))
    html = notebook.render(View(store))
    assert "<img src=x" not in html
    assert "&lt;img" in html
    assert ">out of memory<" in html
    assert ">skipped<" in html


def test_a_run_without_cells_has_a_grid_without_rows(tmp_path: Path) -> None:
    html = notebook.render(View(make_store(tmp_path, pairs=0, variants=0)))
    assert "<tbody>\n</tbody>" in html


@pytest.mark.parametrize("background", ["rgb(255, 255, 255)", "rgb(17, 19, 24)"])
def test_the_grid_takes_the_colours_of_the_notebook(
    store: Store, chromium: Browser, background: str
) -> None:
    colour = "rgb(20, 20, 20)" if "255" in background else "rgb(220, 220, 220)"
    style = f"body {{ background: {background}; color: {colour} }}"
    with monitored(chromium.new_page(viewport={"width": 900, "height": 600})) as window:
        window.set_content(f"<!doctype html><style>{style}</style>{notebook.render(View(store))}")
        for text in ("th >> nth=3", "caption"):
            assert window.locator(text).evaluate("e => getComputedStyle(e).color") == colour
        widths = window.locator("img").evaluate_all("all => all.map(e => e.naturalWidth)")
        assert set(widths) == {notebook.EDGE}
        assert window.evaluate("document.documentElement.scrollWidth") <= 900
