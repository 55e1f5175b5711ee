"""The page as a whole: its sections, texts, images and safety."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness.records import Calibration, Claim, Failure, Skip, TrainingUse
from harness.store import Store
from reports import page
from reports.formatting import numbers as text
from reports.view_model import View
from tests.helpers.report_page import (
    ENCODER,
    HOSTILE,
    Page,
    board_row,
    cell,
    hostile,
    png,
    record,
    store_of,
)


def test_grid_has_one_cell_per_planned_cell(store: Store, html: Page) -> None:
    shown = [e.attributes["data-cell"] for e in html.all() if "data-cell" in e.attributes]
    assert Counter(shown) == Counter(store.run().cells)
    assert len([e for e in html.all() if "data-skip" in e.attributes]) == 1


def test_failed_and_skipped_cells_show_their_reasons_in_the_grid(html: Page) -> None:
    (failed,) = html.all("figure", class_="nst-failed")
    assert failed.words == "johnson cup × wave failed out of luck"
    (skipped,) = html.all("p", class_="nst-skipped")
    assert skipped.words == "skipped excluded: too slow"
    reasons = html.all("section", id="panel-failures")[0].words
    assert "RuntimeError: out of luck" in reasons
    assert "Traceback: line 1" in reasons
    assert "excluded: too slow" in reasons


def test_the_grid_marks_the_best_in_each_row_without_anchors(html: Page, store: Store) -> None:
    marked = {
        (figure.attributes["data-cell"], row.attributes["data-score"])
        for figure in html.all("figure", class_="nst-cell")
        for row in html.all("div")
        if "data-score" in row.attributes and html.inside(figure, row)
        for best in html.all("span", class_="nst-best")
        if html.inside(row, best) and html.inside(figure, best)
    }
    ids = {r.cell.name: r.cell.id for r in store.records(store.run())}
    # adam has the higher SSIM (0.65 > 0.40, 0.70 > 0.60), lbfgs the lower style loss, in each row.
    assert marked == {
        (ids[f"gatys[{name}]/{content}--wave/s0"], score)
        for name, score in (("adam", "ssim"), ("lbfgs", "style_loss"))
        for content in ("cup", "cat")
    }


def test_a_diverged_cell_is_shown_but_not_ranked(tmp_path: Path) -> None:
    records = [
        record(cell("a"), ssim=0.5),
        record(cell("b"), ssim=0.4),
        record(cell("c"), ssim=0.9, status="diverged", failure=Failure("Diverged", "at step 3")),
    ]
    store = store_of(tmp_path, records)
    store.write(records[2], png(), [])
    html = Page(page.render(store))
    (figure,) = html.all("figure", class_="nst-diverged")
    assert "diverged at step 3" in figure.words
    assert "0.900" in figure.words
    assert not [e for e in html.all("span", class_="nst-best") if html.inside(figure, e)]
    assert board_row(html, "a")["ssim"][1]
    assert board_row(html, "c")["ssim"][0] == "–"


def test_the_page_shows_the_calibration_and_warns_if_it_changes(tmp_path: Path) -> None:
    def text(after: float) -> str:
        paces = (Calibration(64, 100.0, after),)
        made = store_of(tmp_path, [record(cell("gatys"))], calibrations=paces)
        return " ".join(e.words for e in Page(page.render(made)).all("body"))

    assert "100 ms before and 104 ms after the run at 64 px" in text(104.0)
    assert "machine changed" not in text(104.0)
    assert "speed of the machine changed by 20% during the run" in text(120.0)
    assert "speed of the machine changed by 25% during the run" in text(80.0)  # 100 / 80


def test_the_page_shows_stand_ins_and_warnings(html: Page) -> None:
    assert "LPIPS is not available." in html.all("aside")[0].words
    badges = [e for e in html.all("span", class_="nst-badge") if e.words == "stand-in"]
    assert badges
    assert all("no network at all" in badge.attributes["title"] for badge in badges)


def test_an_unfinished_run_has_a_warning(tmp_path: Path) -> None:
    store = store_of(tmp_path, [record(cell("a"))], finished=False, cells=(cell("a").id, "f" * 12))
    html = Page(page.render(store))
    assert "has not finished" in html.all("aside")[0].words
    assert "1 not yet run" in html.all("ul", class_="nst-counts")[0].words


def test_hostile_strings_in_all_fields_are_escaped(tmp_path: Path, store: Store) -> None:
    run = store.run()
    encoder = replace(ENCODER, warning="w")
    records = [
        hostile(replace(one, notes=("n",), environment={"torch": "2"}))
        for one in store.records(run)
    ]
    evil = Store(tmp_path / "evil", "artists")
    for one in records:
        files = (png(), store.trace(run.cells[2]), {2: png()}) if one.ok else (None, [], {})
        evil.write(one, *files)
    evil.write_suite(HOSTILE)
    training = TrainingUse("o", 1, "s")
    claim = Claim("c", "s", "f", ("a", "b"), "ssim", "lower", "m", "s", {"w": "v"}, also=("lpips",))
    full = replace(run, encoder=encoder, training=training, command="c", environment={"cuda": "1"},
                   claims=(claim, replace(claim, factor="method")))  # fmt: skip
    evil.write_run(replace(hostile(full), cells=tuple(one.cell.id for one in records)))
    html = page.render(evil)
    parsed = Page(html)
    assert len(parsed.all("script")) == len(page.static("js"))
    assert "<img src=x" not in html
    assert "{{7*7}}" in html
    assert not any(name.startswith("on") for e in parsed.elements for name in e.attributes)
    assert "onerror=alert(1)" in parsed.all("h1")[0].text
    assert parsed.all("div", class_="nst-scene")  # the timeline is included


def test_the_page_makes_no_request_and_its_ids_are_unique(html: Page) -> None:
    addresses = [
        e.attributes[name]
        for e in html.elements
        for name in ("src", "href")
        if name in e.attributes
    ]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"url\((?!data:|#)|@import", "".join(page.static("css")))
    ids = Counter(e.attributes["id"] for e in html.elements if "id" in e.attributes)
    assert ids.most_common(1)[0][1] == 1
    targets = {address[1:] for address in addresses if address.startswith("#")}
    assert targets <= ids.keys()


def test_every_image_has_alt_text_and_a_size_and_is_embedded_once(html: Page) -> None:
    images = html.all("img")
    for image in images:
        assert {"alt", "width", "height", "loading", "decoding"} <= image.attributes.keys()
    sources = Counter(i.attributes["src"] for i in images if "image/webp" in i.attributes["src"])
    assert len(sources) == 6 + 3  # six stylized images, two contents and a style
    assert set(sources.values()) == {1}
    keys = {i.attributes.get("id") for i in images}
    repeated = {i.attributes["data-nst-same"] for i in images if "data-nst-same" in i.attributes}
    assert repeated
    assert repeated <= keys


def test_the_content_security_policy_contains_the_hash_of_the_script(html: Page) -> None:
    import base64
    import hashlib

    digest = hashlib.sha256(html.all("script")[0].text.encode()).digest()
    (policy,) = html.all("meta", http_equiv="Content-Security-Policy")
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy.attributes["content"]


def test_a_run_without_records_has_a_page(tmp_path: Path) -> None:
    skip = Skip("a/cup--wave/64px/s0", "a", "cup--wave", "no encoder")
    for skipped in ((), (skip,)):
        html = Page(page.render(store_of(tmp_path, [], skipped=skipped)))
        assert "0 done" in html.all("ul", class_="nst-counts")[0].words
        assert len(html.all("p", class_="nst-skipped")) == len(skipped)


def test_missing_values_are_never_written_as_nan(tmp_path: Path) -> None:
    store = store_of(tmp_path, [record(cell("a"), ssim=None)])
    html = page.render(store)
    store.write_results(View(store).rows)
    for written in (html, (store.root / "results.csv").read_text(encoding="utf-8")):
        assert not re.search(r"\b(nan|NaN|inf|Infinity|None)\b", re.sub(r"base64,\S+", "", written))


def test_results_have_a_row_per_cell_and_agree_with_the_page(store: Store) -> None:
    html = Page(page.write(store).read_text(encoding="utf-8"))
    with (store.root / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(store.run().cells) + len(store.run().skipped)
    assert [row["cell"] for row in rows[:-1]] == list(store.run().cells)
    for variant in ("gatys[lbfgs]", "gatys[adam]", "identity"):
        own = [row for row in rows if row["variant"] == variant]
        for column in ("ssim", "style_loss", "roughness", "stylize_seconds", "pass_ms", "peak_mb"):
            mean = sum(float(row[column]) for row in own) / len(own)
            assert (
                board_row(html, variant)[column][0].removeprefix("◦ ").startswith(text.number(mean))
            )
    assert [row["reason"] for row in rows[-2:]] == [
        "RuntimeError: out of luck",
        "excluded: too slow",
    ]


def test_secrets_in_urls_are_hidden(tmp_path: Path) -> None:
    url = "https://me:secret@host/mlflow"
    store = store_of(tmp_path, [record(cell("a"))], tracking=url, command=f"nstbench run {url}")
    store.write_suite(f"tracking: {url}")
    assert "secret" not in page.render(store)


def test_the_page_needs_no_torch() -> None:
    code = "import sys, reports.page; reports.page.find_panels()\n"
    code += "print([m for m in ('torch', 'lpips', 'mlflow', 'skimage') if m in sys.modules])"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.strip() == "[]"


def test_panels_are_sections_of_the_page_in_order(html: Page) -> None:
    panels = page.find_panels()
    assert list(panels) == [
        "summary", "grid", "claims", "ablation", "leaderboard", "tradeoff", "timeline", "curves",
        "failures", "settings", "provenance",
    ]  # fmt: skip
    # This is a single run without claims and intermediate images.
    without = ("claims", "timeline")
    titles = [e.words for e in html.all("h2")]
    assert titles == [panel.title for name, panel in panels.items() if name not in without]


def test_the_error_of_a_panel_names_its_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(view: View) -> None:
        raise ValueError("oh")

    monkeypatch.setattr("reports.panels.grid.render", broken)
    with pytest.raises(ValueError, match="oh") as caught:
        page.render(store)
    assert caught.value.__notes__ == ["while rendering reports/panels/grid.py"]
