"""The page: what it must show, what it must never do, with the arithmetic beside the numbers."""

from __future__ import annotations

import csv
import io
import math
import re
import subprocess
import sys
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from harness.records import (
    Calibration,
    Cell,
    Claim,
    EncoderUse,
    Failure,
    ImageUse,
    Record,
    Run,
    Score,
    Skip,
    Timing,
    TracePoint,
    TrainingUse,
)
from harness.store import Store
from reports import aggregates, page
from reports.charts import curves as chart
from reports.formatting import numbers as text
from reports.panels import curves
from reports.view_model import View

ENCODER = EncoderUse("vgg19", "e" * 64, "torchvision")
CUP = ImageUse("cup", "1" * 64, "scikit-image", "A cup", "Someone", 2014, "CC0")
CAT = ImageUse("cat", "2" * 64, "scikit-image", "A cat")
WAVE = ImageUse("wave", "3" * 64, "painted", stand_in="swirls", why_stand_in="no network at all")
ANCHORS = ("identity",)


def png(color: tuple[int, int, int] = (200, 60, 20), size: tuple[int, int] = (40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def cell(variant: str, content: ImageUse = CUP, **changes: Any) -> Cell:
    label, _, level = variant.rstrip("]").partition("[")
    facts: dict[str, Any] = {
        "suite": "artists",
        "variant": variant,
        "label": label,
        "method": label,
        "version": 1,
        "params": {"optimizer": level, "iterations": 5, "tv_weight": 1e-5},
        "levels": {"optimizer": level},
        "content": content,
        "style": WAVE,
        "size": 64,
        "seed": 0,
        "encoder": ENCODER,
        "precision": "float32",
        "device": "cpu",
        "anchor": label in ANCHORS,
    }
    return Cell(**facts | changes)


def record(of: Cell, ssim: float | None = 0.5, style_loss: float = 0.1, **changes: Any) -> Record:
    scores = (
        Score("ssim", ssim, "", "higher", "pixels", why_missing="" if ssim else "too small"),
        Score("lpips", None, "", "lower", "none", why_missing="no trunk to be had"),
        Score("style_loss", style_loss, "ratio", "lower", "vgg19"),
        Score("roughness", 1.25, "ratio", "neither", "pixels"),
    )
    timing = Timing(2.0, False, 4.0, 1, 0.1, 5, (9.0, 10.0, 11.0), 512.0, "process")
    facts: dict[str, Any] = {"scores": scores, "timing": timing, "width": 40, "height": 30}
    return Record(of, changes.pop("status", "done"), **facts | changes)


def store_of(out: Path, records: list[Record], **changes: Any) -> Store:
    store = Store(out, "artists")
    for color, one in enumerate(records):
        trace = [TracePoint("stylize", i, i * 0.1, {"total": 100.0 / (i + 1)}) for i in range(5)]
        store.write(one, png((30 * color, 60, 20)) if one.ok else None, trace if one.ok else [])
        for use in (one.cell.content, one.cell.style):
            store.write_input(use, one.cell.size, png((90, 250, 60 * int(use.sha256[0]))))
    facts: dict[str, Any] = {
        "suite": "artists",
        "description": "Who is best?",
        "profile": "laptop",
        "cells": tuple(one.cell.id for one in records),
        "skipped": (),
        "metrics": ("ssim", "lpips", "style_loss", "roughness"),
        "encoder": ENCODER,
        "device": "cpu",
        "precision": "float32",
        "finished": True,
    }
    store.write_run(Run(**facts | changes))
    return store


class Element:
    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.text = ""

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


class Page(HTMLParser):
    """Every element with its attributes and all the text inside of it."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in self.VOID and tag != "path":
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        while tag in {e.tag for e in self._open} and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """Elements by tag and attributes; `class_` asks for one class among several."""
        wanted = attributes.pop("class_", "")
        names = {name.replace("_", "-"): value for name, value in attributes.items()}
        return [
            e
            for e in self.elements
            if tag in ("", e.tag)
            and all(e.attributes.get(n) == v for n, v in names.items())
            and (not wanted or wanted in e.attributes.get("class", "").split())
        ]

    def inside(self, outer: Element, inner: Element) -> bool:
        """Whether `inner` was opened before the next element of `outer`'s kind."""
        peers = [e for e in self.elements if e.tag == outer.tag]
        after = peers[peers.index(outer) + 1 :]
        end = self.elements.index(after[0]) if after else len(self.elements)
        return self.elements.index(outer) < self.elements.index(inner) < end


def board_row(html: Page, variant: str) -> dict[str, tuple[str, bool, bool]]:
    """Column -> (text, best, circular) of a variant's row in the leaderboard."""
    (row,) = html.all("tr", data_variant=variant)
    marks = {
        kind: [e for e in html.all("span", class_=kind) if html.inside(row, e)]
        for kind in ("nst-best", "nst-circular")
    }
    return {
        td.attributes["data-column"]: (
            td.words,
            any(html.inside(td, e) for e in marks["nst-best"]),
            any(html.inside(td, e) for e in marks["nst-circular"]),
        )
        for td in html.all("td")
        if "data-column" in td.attributes and html.inside(row, td)
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two pairs, two contenders and an anchor; one cell failed, one diverged, one was skipped."""
    records = [
        record(cell("identity"), ssim=1.0, style_loss=1.0),
        record(cell("identity", CAT), ssim=1.0, style_loss=1.0),
        record(cell("gatys[lbfgs]"), ssim=0.40, style_loss=0.01),
        record(cell("gatys[lbfgs]", CAT), ssim=0.60, style_loss=0.03),
        record(cell("gatys[adam]"), ssim=0.65, style_loss=0.02),
        record(cell("gatys[adam]", CAT), ssim=0.70, style_loss=0.06),
        record(
            cell("johnson"),
            status="failed",
            scores=(),
            timing=None,
            failure=Failure("RuntimeError", "out of luck", "Traceback: line 1"),
        ),
    ]
    skip = Skip("johnson/cat--wave/s0", "johnson", "cat--wave", "excluded: too slow")
    return store_of(tmp_path, records, skipped=(skip,), warnings=("LPIPS cannot be had.",))


@pytest.fixture
def html(store: Store) -> Page:
    return Page(page.render(store))


def test_grid_has_one_cell_per_planned_cell(store: Store, html: Page) -> None:
    shown = [e.attributes["data-cell"] for e in html.all() if "data-cell" in e.attributes]
    assert Counter(shown) == Counter(store.run().cells)
    assert len([e for e in html.all() if "data-skip" in e.attributes]) == 1


def test_failed_and_skipped_cells_stand_in_place_with_their_reasons(html: Page) -> None:
    (failed,) = html.all("figure", class_="nst-failed")
    assert failed.words == "johnson cup × wave failed out of luck"
    (skipped,) = html.all("p", class_="nst-skipped")
    assert skipped.words == "skipped excluded: too slow"
    reasons = html.all("section", id="panel-failures")[0].words
    assert "RuntimeError: out of luck" in reasons
    assert "Traceback: line 1" in reasons
    assert "excluded: too slow" in reasons


def test_best_in_the_leaderboard_is_the_best_mean_and_never_an_anchor(html: Page) -> None:
    lbfgs, adam = board_row(html, "gatys[lbfgs]"), board_row(html, "gatys[adam]")
    # lbfgs: mean (0.40 + 0.60) / 2 = 0.500, deviation 0.10 * sqrt 2 = 0.141; adam: 0.675, 0.035
    assert lbfgs["ssim"] == ("0.500 ± 0.141 · n 2", False, False)
    assert adam["ssim"] == ("0.675 ± 0.035 · n 2", True, False)
    # lbfgs: (0.01 + 0.03) / 2 = 0.02 is lower than adam's (0.02 + 0.06) / 2 = 0.04
    assert lbfgs["style_loss"][1:] == (True, True)
    assert adam["style_loss"][1:] == (False, True)
    # The anchor's SSIM of 1 would win, and its style loss is seen through vgg19 too.
    assert not any(best or circular for _, best, circular in board_row(html, "identity").values())


def test_ties_and_columns_without_direction_have_no_best(html: Page) -> None:
    for column in ("roughness", "stylize_seconds", "pass_ms", "peak_mb"):
        for variant in ("gatys[lbfgs]", "gatys[adam]"):
            assert not board_row(html, variant)[column][1]


def test_a_mean_over_fewer_pairs_does_not_compete(tmp_path: Path) -> None:
    records = [
        record(cell("a"), ssim=0.5),
        record(cell("a", CAT), ssim=0.3),
        record(cell("b"), ssim=0.4),
        record(cell("b", CAT), ssim=0.1),
        record(cell("c"), ssim=0.9),  # 0.9 beats a's 0.4, but on the easier half alone
    ]
    html = Page(page.render(store_of(tmp_path, records)))
    assert [board_row(html, name)["ssim"][1] for name in "abc"] == [True, False, False]
    assert "over fewer pairs" in html.all("section", id="panel-leaderboard")[0].words


def test_best_in_the_grid_is_found_row_by_row_without_anchors(html: Page, store: Store) -> None:
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


def test_a_diverged_cell_is_shown_but_does_not_count(tmp_path: Path) -> None:
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


def test_a_missing_score_is_a_dash_with_its_reason(html: Page) -> None:
    assert board_row(html, "gatys[adam]")["lpips"][0] == "–1"
    assert html.all("li", id="nst-note-1")[0].words == (
        "LPIPS is not available: no trunk to be had"
    )


def test_seconds_of_a_shared_fit_count_once(tmp_path: Path) -> None:
    records = [record(cell("johnson", content)) for content in (CUP, CAT)]
    assert records[0].cell.fit_id == records[1].cell.fit_id
    html = Page(page.render(store_of(tmp_path, records)))
    assert board_row(html, "johnson")["fit_seconds"][0] == "2.00 n 1"
    assert board_row(html, "johnson")["stylize_seconds"][0] == "4.00 ± 0 · n 2"


def test_disturbed_and_shared_times_are_hints_and_win_nothing(tmp_path: Path) -> None:
    busy = "other processes kept 1.2 of 2 cores busy"
    quick = Timing(0.0, False, 1.0, 1, 0.1, 5, (9.0, 10.0, 11.0), 512.0, "process")
    rows = [
        record(cell("gatys[adam]"), timing=replace(quick, noisy=busy)),
        record(cell("gatys[lbfgs]"), timing=replace(quick, stylize_seconds=2.0)),
        record(cell("johnson"), timing=replace(quick, stylize_seconds=3.0, shared_by=4)),
    ]
    html = Page(page.render(store_of(tmp_path, rows)))
    times = {v: board_row(html, v)["stylize_seconds"] for v in ("gatys[adam]", "gatys[lbfgs]")}
    assert [time[0][:2] == "≈ " for time in times.values()] == [True, False]
    assert not times["gatys[adam]"][1]  # the fastest, and not outlined
    text = " ".join(e.words for e in html.all("body"))
    assert f"1 of 1 measurements were disturbed (for example, {busy})" in text
    assert "up to 4 cells ran in one batch" in text
    # The curves' clock stands at 0.4 s in the end; a quarter of that is the share of johnson's.
    ends = ("adam: 20.0 after 4 passes, ≈ 0.400 s", "lbfgs: 20.0 after 4 passes, 0.400 s",
            "johnson: 20.0 after 4 passes, ≈ 0.100 s")  # fmt: skip
    assert all(end in text for end in ends)


def test_the_machines_pace_is_told_and_a_change_of_it_is_a_warning(tmp_path: Path) -> None:
    def text(after: float) -> str:
        paces = (Calibration(64, 100.0, after),)
        made = store_of(tmp_path, [record(cell("gatys"))], calibrations=paces)
        return " ".join(e.words for e in Page(page.render(made)).all("body"))

    assert "100 ms before and 104 ms after the run at 64 px" in text(104.0)
    assert "machine changed" not in text(104.0)
    assert "speed of the machine changed by 20% during the run" in text(120.0)
    assert "speed of the machine changed by 25% during the run" in text(80.0)  # 100 / 80


def test_only_what_was_judged_through_its_own_network_is_circular(tmp_path: Path) -> None:
    small = EncoderUse("compact", "c" * 64, "comes with nstbench")
    cells = [cell("gatys[vgg19]"), cell("gatys[compact]", encoder=small), cell("identity")]
    store = store_of(tmp_path, [record(one) for one in cells])
    html = Page(page.render(store))
    circular = {v: board_row(html, v)["style_loss"][2] for v in (c.variant for c in cells)}
    assert circular == {"gatys[vgg19]": True, "gatys[compact]": False, "identity": False}
    named = {element.words for element in html.all("code", class_="nst-hash")}
    assert {small.sha256, ENCODER.sha256} <= named


def test_stand_ins_and_warnings_are_said(html: Page) -> None:
    assert "LPIPS cannot be had." in html.all("aside")[0].words
    badges = [e for e in html.all("span", class_="nst-badge") if e.words == "stand-in"]
    assert badges
    assert all("no network at all" in badge.attributes["title"] for badge in badges)


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    store = store_of(tmp_path, [record(cell("a"))], finished=False, cells=(cell("a").id, "f" * 12))
    html = Page(page.render(store))
    assert "has not finished" in html.all("aside")[0].words
    assert "1 not yet run" in html.all("ul", class_="nst-counts")[0].words


HOSTILE = "</script></style><img src=x onerror=alert(1)>\"'{{7*7}}"


def hostile(data: Any) -> Any:
    """The same record with every free string replaced; what code chooses stays."""
    chosen = {"status", "better", "phase", "peak_of", "predicts", "control"}
    if is_dataclass(data) and not isinstance(data, type):
        return replace(
            data,
            **{
                f.name: hostile(getattr(data, f.name))
                for f in fields(data)
                if f.init and f.name not in chosen
            },
        )
    if isinstance(data, dict):
        return {HOSTILE + key: hostile(value) for key, value in data.items()}
    if isinstance(data, tuple):
        return tuple(hostile(value) for value in data)
    return HOSTILE + data if isinstance(data, str) else data


def test_hostile_strings_in_every_field_stay_text(tmp_path: Path, store: Store) -> None:
    run = store.run()
    encoder = replace(ENCODER, warning="w")
    records = [
        hostile(replace(one, notes=("n",), environment={"torch": "2"}))
        for one in store.records(run)
    ]
    evil = Store(tmp_path / "evil", "artists")
    for one in records:
        kept = (png(), store.trace(run.cells[2]), {2: png()}) if one.ok else (None, [], {})
        evil.write(one, *kept)
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
    assert parsed.all("div", class_="nst-scene")  # the time line is among them


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


def test_every_image_has_words_and_a_size_and_is_embedded_once(html: Page) -> None:
    images = html.all("img")
    for image in images:
        assert {"alt", "width", "height", "loading", "decoding"} <= image.attributes.keys()
    sources = Counter(i.attributes["src"] for i in images if "image/webp" in i.attributes["src"])
    assert len(sources) == 6 + 3  # six stylized images, two contents and a style
    assert set(sources.values()) == {1}
    keys = {i.attributes.get("id") for i in images}
    assert all(
        i.attributes["data-nst-same"] in keys for i in images if "data-nst-same" in i.attributes
    )


def test_the_policy_names_the_script_that_is_there(html: Page) -> None:
    import base64
    import hashlib

    digest = hashlib.sha256(html.all("script")[0].text.encode()).digest()
    (policy,) = html.all("meta", http_equiv="Content-Security-Policy")
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy.attributes["content"]


def test_a_run_without_records_still_makes_a_page(tmp_path: Path) -> None:
    skip = Skip("a/cup--wave/64px/s0", "a", "cup--wave", "no encoder")
    for skipped in ((), (skip,)):
        html = Page(page.render(store_of(tmp_path, [], skipped=skipped)))
        assert "0 done" in html.all("ul", class_="nst-counts")[0].words
        assert len(html.all("p", class_="nst-skipped")) == len(skipped)


def test_sizes_have_boards_and_grids_of_their_own(tmp_path: Path) -> None:
    records = [
        record(cell(name, size=size, levels={"size": size}), ssim=ssim)
        for size, ssim in ((64, 0.4), (128, 0.8))
        for name in "ab"
    ]
    html = Page(page.render(store_of(tmp_path, records)))
    assert len(html.all("table", class_="nst-board")) == 2
    assert len(html.all("table", class_="nst-grid")) == 2
    assert [e.words for e in html.all("tr", data_variant="a")] == [
        "a 0.400 n 1 –1 ◦ 0.100 n 1 1.25 n 1 4.00 n 1 2.00 n 1 10.0 n 1 512 n 1 1 done",
        "a 0.800 n 1 –1 ◦ 0.100 n 1 1.25 n 1 4.00 n 1 2.00 n 1 10.0 n 1 512 n 1 1 done",
    ]


def test_nothing_reads_nan(tmp_path: Path) -> None:
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


def test_panels_come_in_order_and_are_sections_of_the_page(html: Page) -> None:
    panels = page.find_panels()
    assert list(panels) == [
        "run_comparison", "summary", "leaderboard", "claims", "ablation", "tradeoff", "grid", "timeline",
        "curves", "failures", "provenance",
    ]  # fmt: skip
    # It is one run, the suite makes no claims, its cells kept no images on the way.
    without = ("run_comparison", "claims", "timeline")
    titles = [e.words for e in html.all("h2")]
    assert titles == [panel.title for name, panel in panels.items() if name not in without]


def test_a_panel_that_fails_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(view: View) -> None:
        raise ValueError("oh")

    monkeypatch.setattr("reports.panels.grid.render", broken)
    with pytest.raises(ValueError, match="oh") as caught:
        page.render(store)
    assert caught.value.__notes__ == ["while rendering reports/panels/grid.py"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"), (math.nan, "–"), (math.inf, "–"), (0.0, "0"), (0.5124, "0.512"),
        (9.999, "10.0"), (0.0009999, "0.00100"), (-0.05, "−0.0500"), (123.456, "123"),
        (2048.0, "2050"), (99999.0, "1.00×10⁵"), (1.5e-7, "1.50×10⁻⁷"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, written: str) -> None:
    assert text.number(value) == written


@pytest.mark.parametrize(
    ("mean", "deviation", "written"),
    [
        (0.512, 0.0412, "0.041"),
        (412.3, 5e-14, "0"),
        (412.3, 0.04, "0"),
        (1.0, 0.0009, "0.00"),
        (2e6, 3e5, "0.30×10⁶"),
    ],
)
def test_a_deviation_has_the_decimals_of_its_mean(
    mean: float, deviation: float, written: str
) -> None:
    assert text.spread(mean, deviation) == written


def test_durations_read_naturally() -> None:
    spoken = [text.duration(s) for s in (0.0321, 0.5, 59.94, 135.2, 4312.2)]
    assert spoken == ["32.1 ms", "0.500 s", "59.9 s", "2 min 15 s", "1 h 11 min"]


def test_best_needs_a_contest() -> None:
    assert aggregates.best({"a": 1.0}, "lower") == set()
    assert aggregates.best({"a": 1.0, "b": 1.0}, "lower") == set()
    assert aggregates.best({"a": 1.0, "b": 2.0, "c": 1.0}, "lower") == {"a", "c"}
    assert aggregates.best({"a": 1.0, "b": 2.0}, "neither") == set()


@pytest.mark.parametrize(
    ("low", "high"), [(3, 4e6), (0.9, 1.1), (1e-7, 1.01e-7), (5, 5.5), (1, 10)]
)
def test_logarithmic_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = chart.log_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)


def test_curves_keep_their_ends_when_thinned() -> None:
    points = [TracePoint("fit", i, 0.0, {"total": 1.0}) for i in range(1001)]
    kept = curves.thin(points, 200)
    assert len({point.index for point in kept}) == 200
    assert (kept[0], kept[-1]) == (points[0], points[-1])


@pytest.mark.parametrize("cells", [10, 200, 1000, 2000])
def test_the_curves_of_many_cells_stay_small(cells: int) -> None:
    points = curves.max_points(cells)
    zigzag = curve([10.0 ** (i % 2) for i in range(points)])  # no line is longer to write
    (line,) = chart.draw("c", "passes", [zigzag]).lines
    assert sum(len(path) for path in line.paths.values()) * cells < 2_500_000


def curve(losses: list[float], seconds: list[float] | None = None, index: int = 0) -> chart.Curve:
    steps = [float(i) for i in range(len(losses))]
    return chart.Curve(f"v{index}", index, {"steps": steps, "seconds": seconds or steps}, losses)


def test_labels_of_a_chart_do_not_cover_each_other() -> None:
    drawn = chart.draw("c", "passes", [curve([10, 1 + i / 1000], index=i) for i in range(5)])
    for kind in drawn.y_axes:
        heights = sorted(label.at[kind] for label in drawn.labels)
        assert round(min(b - a for a, b in pairwise(heights)), 1) >= chart.LINE_HEIGHT
        assert heights[-1] <= chart.HEIGHT - chart.BOTTOM


def test_a_curve_has_a_drawing_for_either_x_and_either_y_axis(html: Page) -> None:
    for x, y in product(("steps", "seconds"), ("log", "linear")):
        shown = [e for e in html.all("path", class_=f"nst-on-{x}")
                 if f"nst-on-{y}" in e.attributes["class"]]  # fmt: skip
        assert len(shown) == len(html.all("g", class_="nst-line")) == 2 + 2 + 2  # with anchors
    # Two charts of gatys, each with names at the ends of its curves for either y axis.
    assert [e.words for e in html.all("text", class_="nst-label")] == ["adam", "lbfgs"] * 2 * 2


def test_a_linear_axis_begins_at_0_and_seconds_where_the_clock_did() -> None:
    drawn = chart.draw("c", "passes", [curve([100, 50, 25], [1, 2, 4])])
    # 176 units up to 1.04 * 100: 100 is 169.2 above the floor at 186, 50 is 84.6, 25 is 42.3.
    # 248 units from 48 on: two passes, 124 each; four seconds, 62 each.
    assert drawn.lines[0].paths["steps", "linear"] == "M48 16.8l124 84.6 124 42.3"
    assert drawn.lines[0].paths["seconds", "linear"] == "M110 16.8l62 84.6 124 42.3"
    assert drawn.lines[0].title == "v0: 25.0 after 2 passes, 4.00 s"
    assert not drawn.clipped


def test_a_first_loss_far_above_the_others_does_not_flatten_them() -> None:
    drawn = chart.draw("c", "passes", [curve([1000, 50, 25])])
    # 50 is the top now. 1000 is 186 - 176 * 1000 / 52 = -3198.6; from there to 50, at 16.8, the
    # frame at 10 is crossed after 3208.6 / 3215.4 of 124 units, at 48 + 123.7.
    assert drawn.clipped
    assert drawn.lines[0].paths["steps", "linear"] == "M171.7 10l.3 6.8 124 84.6"
    assert drawn.lines[0].paths["steps", "log"].startswith("M48 ")
    again = chart.draw("c", "passes", [curve([4, 1, 1, 9, 1, 1, 1, 1, 1, 1, 1])])
    assert not again.clipped  # a later peak stays


def test_a_trace_without_seconds_and_a_flat_one_are_drawn() -> None:
    drawn = chart.draw("c", "passes", [curve([5.0, 5.0], [0.0, 0.0])])
    assert drawn.lines[0].title == "v0: 5.00 after 1 passes"
    assert drawn.lines[0].paths["seconds", "linear"] == "M48 16.8l0 0"
    assert drawn.x_axes["seconds"].ticks == [(48.0, "0")]


def test_losses_of_saved_images_are_points_on_both_axes(tmp_path: Path) -> None:
    one = record(cell("gatys"))
    store = store_of(tmp_path, [one])
    trace = [
        TracePoint("stylize", 1, 0.5, {"total": 8.0}, {"total": 8.0}),
        TracePoint("stylize", 2, 1.0, {"total": 4.0}),
        TracePoint("stylize", 3, 1.5, {"total": 2.0}, {"total": 16.0}),
    ]
    store.write(one, png(), trace)
    view = View(store)
    (drawn,) = curves._multiple(view, "gatys").charts
    (line,) = drawn.lines
    assert line.title == "gatys: 2.00, saved image 16.0 after 3 passes, 1.50 s, seed 0"
    assert set(line.points) == set(line.paths)
    x, y = drawn.x_axes["steps"], drawn.y_axes["log"]
    assert line.points["steps", "log"] == f"M{x(1):g} {y(8):g}h0M{x(3):g} {y(16):g}h0"
    assert drawn.y_axes["linear"](16) > drawn.top  # the axis reaches the highest of both
    assert not drawn.clipped
    text = str(curves.render(view))
    assert "points show the saved image" in text
    assert text.count('class="nst-points') == 1


def test_a_saved_loss_far_above_all_that_follows_is_cut_like_a_curve() -> None:
    line = curve([1000.0, 50, 25, 20, 15, 12, 11, 10, 10, 10, 10])
    steps = {"steps": [0, 10], "seconds": [0, 10]}
    drawn = chart.draw("c", "passes", [replace(line, saved_xs=steps, saved=[1000.0, 40.0])])
    assert drawn.clipped
    assert drawn.lines[0].points["steps", "log"].count("M") == 2
    assert drawn.lines[0].points["steps", "linear"].count("M") == 1


def test_seeds_whose_curves_are_equal_are_written_once() -> None:
    one, other = curve([3, 1], [0, 1]), curve([3, 1], [0, 2])
    first, second = chart.draw("c", "passes", [one, other]).lines
    assert len(first.paths) == 4
    assert {x for x, _ in second.paths} == {"seconds"}
