"""The page as a folder of thumbnails and lossless images."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from PIL import Image

from harness.cli.main import main
from harness.store import Store
from reports import page
from reports.view_model import View
from tests.helpers.browser import launched, monitored
from tests.helpers.report_page import CAT, CUP, HOSTILE, Page, cell, png, record, store_of

ODD = replace(CUP, name=HOSTILE, title=HOSTILE)
CELLS = [cell("adam", ODD), cell("lbfgs", ODD), cell("lbfgs", CAT)]
RECORDS = [record(one, ssim, ssim) for one, ssim in zip(CELLS, (0.2, 0.4, 0.6), strict=True)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_of(tmp_path, RECORDS)


def files_of(index: Path) -> dict[str, bytes]:
    """Return the files of a page by their relative address."""
    paths = (path for path in index.parent.rglob("*") if path.is_file() and path != index)
    return {path.relative_to(index.parent).as_posix(): path.read_bytes() for path in paths}


def test_the_folder_contains_all_images_and_the_stored_lossless_files(store: Store) -> None:
    stored = {path.read_bytes() for path in store.root.rglob("*.png")}
    command = ["report", "artists", "--folder", "--out", str(store.root.parent)]
    index = Path(CliRunner().invoke(main, command).output.rstrip())
    assert index == store.root / "report" / "index.html"
    files, html = files_of(index), Page(index.read_text(encoding="utf-8"))
    assert all(re.fullmatch(r"images/[0-9a-f]{16}(-384\.webp|\.png)", name) for name in files)
    assert {data for name, data in files.items() if name.endswith(".png")} == stored
    addresses = ("src", "data-nst-original")
    named = {e.attributes[a] for e in html.all("img") for a in addresses if a in e.attributes}
    assert named == {*files, "data:,"}  # the placeholder in the card of the trade-off
    figures = html.all("figure", class_="nst-cell")
    assert figures
    for figure in figures:
        (image,) = (one for one in html.all("img") if html.inside(figure, one))
        path = store.image(figure.attributes["data-cell"])
        assert path is not None
        assert files[image.attributes["data-nst-original"]] == path.read_bytes()


def test_both_forms_of_the_page_differ_only_in_their_images(store: Store) -> None:
    forms = (page.write(store), page.write_folder(store))
    texts = [re.sub("<img[^>]*>", "", form.read_text(encoding="utf-8")) for form in forms]
    pairs = zip(*(text.splitlines() for text in texts), strict=True)
    policy, *captions = [other for one, other in pairs if one != other]
    assert "img-src" in policy
    assert ["lossless" in caption for caption in captions] == [True, True]


def test_the_folder_is_replaced_atomically(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = files_of(page.write_folder(store))
    store.write(RECORDS[0], png((1, 2, 3)), [])
    index = page.write_folder(store)
    new = files_of(index)
    assert [len(old.keys() - new), len(new.keys() - old)] == [
        2,
        2,
    ]  # thumbnail and lossless
    assert index.parent.stat().st_mode == store.root.stat().st_mode  # readable by other users too

    def broken(view: View) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("reports.panels.provenance.render", broken)  # renders after all images
    with pytest.raises(OSError, match="no space left"):
        page.write_folder(store)
    assert files_of(index) == new
    assert not list(store.root.glob(".part-*"))


def noise(size: tuple[int, int]) -> bytes:
    """Return an incompressible image, in which any loss is visible."""
    buffer = io.BytesIO()
    pixels = Random(0).randbytes(3 * size[0] * size[1])
    Image.frombytes("RGB", size, pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_the_grid_shows_thumbnails_and_the_dialog_lossless_images(store: Store) -> None:
    for one in RECORDS[:2]:
        store.write(one, noise((1200, 900)), [])
    with (
        launched() as browser,
        monitored(browser.new_page(), lambda url: url.startswith("file:")) as window,
    ):
        window.set_default_timeout(5000)
        window.goto(page.write_folder(store).as_uri())
        thumbnails, images = window.locator(".nst-cell img"), window.locator(".nst-pane img")
        loaded = "all => Promise.all(all.map(one => one.decode().then(() => one.naturalWidth)))"
        thumbnails.first.scroll_into_view_if_needed()
        assert thumbnails.evaluate_all(loaded) == [384, 384, 40]
        thumbnails.first.click()
        window.locator("[name=b]").select_option(CELLS[1].id)
        assert images.evaluate_all(loaded) == [1200, 1200]
        sources = images.evaluate_all("all => all.map(one => one.src)")
        assert re.fullmatch(r"file:.*/images/[0-9a-f]{16}\.png", sources[0])
        assert sources[0] == sources[1]
        meanwhile = images.first.evaluate("one => getComputedStyle(one).backgroundImage")
        assert meanwhile == f'url("{sources[0].replace(".png", "-384.webp")}")'
        percent = int(window.locator("[data-nst=percent]").inner_text().removesuffix(" %"))
        box = images.first.bounding_box()
        assert box is not None
        assert percent == round(100 * box["width"] / 1200)
        window.keyboard.press("3")
        with Image.open(io.BytesIO(window.screenshot(clip=box))) as shown:  # type: ignore[arg-type]
            assert shown.convert("L").getextrema() == (0, 0)
