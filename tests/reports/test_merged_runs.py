"""One page about several suites or several runs of one suite."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness.records import Cell, Claim, ImageUse, Record, Score, Skip, Timing
from harness.store import Store, revisions
from reports import page
from reports.merged_runs import MergedRuns
from reports.view_model import View
from tests.helpers.browser import launched, monitored
from tests.helpers.report_page import (
    CAT,
    CUP,
    ENCODER,
    HOSTILE,
    WAVE,
    Page,
    board_row,
    cell,
    hostile,
    png,
    record,
    store_of,
)

CLAIM = Claim("O1", "Adam keeps more.", "optimizer", ("lbfgs", "adam"), "ssim", "higher", "gatys")
NINE = {"optimizer": "adam", "iterations": 9, "tv_weight": 1e-5}
"""The parameters of `cell` with 9 instead of 5 iterations."""


def two_runs(out: Path) -> Store:
    """Store a suite that ran on the 19th and, with more iterations of gatys, on the 20th."""
    then = [record(cell("gatys[adam]"), ssim=0.4), record(cell("johnson"), ssim=0.5)]
    now = [record(cell("gatys[adam]", params=NINE), ssim=0.3), then[1]]
    store_of(out, then, started="2026-11-19T08:00:00+00:00")
    return store_of(out, now, started="2026-11-20T23:59:59+00:00")


def render(**stores: Store) -> Page:
    return Page(page.render_about(stores))


def variants(html: Page) -> list[str]:
    return [e.attributes["data-variant"] for e in html.all("tr") if "data-variant" in e.attributes]


def cells(html: Page) -> Counter[str]:
    return Counter(e.attributes["data-cell"] for e in html.all("figure", class_="nst-cell"))


def warnings(html: Page) -> str:
    return html.all("aside", aria_label="Warnings")[0].words


def headings(html: Page, panel: str) -> list[str]:
    (section,) = html.all("section", id=f"panel-{panel}")
    return [e.words for e in html.all("h3") if html.inside(section, e)]


def test_two_runs_share_unchanged_cells_and_show_changed_ones_separately(tmp_path: Path) -> None:
    two_runs(tmp_path)
    found = revisions.find_all(["artists~1", "artists"], tmp_path)
    html = render(**{label: moment.store for label, moment in found.items()})
    assert variants(html) == ["gatys[adam] @ artists~1", "gatys[adam] @ artists", "johnson"]
    assert sorted(cells(html).values()) == [1, 1, 1]
    assert board_row(html, "gatys[adam] @ artists~1")["ssim"][0].startswith("0.400")
    assert board_row(html, "gatys[adam] @ artists")["ssim"][0].startswith("0.300")
    assert html.all("h1")[0].words == "artists~1 + artists"
    (summary,) = html.all("section", id="panel-summary")
    assert "gatys[adam]: iterations 5 in artists~1, 9 in artists" in summary.words
    assert "3 done 1 in several runs" in summary.words
    # The change between the runs is an ablation: 0.3 - 0.4.
    (change,) = html.all("tr", data_change="gatys iterations=9")
    assert "−0.100" in change.words
    ids = Counter(e.attributes["id"] for e in html.elements if "id" in e.attributes)
    assert set(ids.values()) == {1}


def test_suites_without_common_pairs_have_separate_tables(tmp_path: Path) -> None:
    cups = store_of(tmp_path / "1", [record(cell("a"), ssim=0.4), record(cell("b"), ssim=0.2)])
    cats = store_of(tmp_path / "2", [record(cell("a", CAT), ssim=0.9), record(cell("c", CAT))])
    html = render(cups=cups, cats=cats)
    assert headings(html, "leaderboard") == headings(html, "grid") == ["cups", "cats"]
    assert variants(html) == ["a", "b", "a", "c"]  # a has the same recipe in both
    best = [e.words for e in html.all("span", class_="nst-best")]
    assert "0.400" in best  # best on the cup; the higher value on the cat is in another table
    assert not html.all("td", class_="nst-empty")


def test_pairs_that_a_suite_does_not_plan_are_empty(tmp_path: Path) -> None:
    one = store_of(tmp_path / "1", [record(cell("a")), record(cell("a", CAT))])
    html = render(one=one, two=store_of(tmp_path / "2", [record(cell("b"))]))
    assert headings(html, "grid") == []
    assert len(html.all("td", class_="nst-empty", title="not in the plan")) == 1


def test_equal_recipes_with_different_names_share_one_name(tmp_path: Path) -> None:
    of = cell("gatys[adam]")
    same = [cell("base", c, method="gatys", params=of.params) for c in (CUP, CAT)]
    one = store_of(tmp_path / "1", [record(of, ssim=0.2)])
    html = render(one=one, two=store_of(tmp_path / "2", [record(c, ssim=0.6) for c in same]))
    assert variants(html) == ["gatys[adam]"]
    # Both have the cell on the cup, of which the first is used: (0.2 + 0.6) / 2.
    assert board_row(html, "gatys[adam]")["ssim"][0] == "0.400 ± 0.283 · n 2"
    assert "gatys[adam] is called base in two" in html.all("section", id="panel-summary")[0].words


def test_different_images_with_the_same_name_have_separate_rows(tmp_path: Path) -> None:
    real = replace(WAVE, sha256="4" * 64, stand_in=None)
    one = store_of(tmp_path / "1", [record(cell("a"))])
    html = render(one=one, two=store_of(tmp_path / "2", [record(cell("a", style=real))]))
    rows = [e.attributes["data-pair"] for e in html.all("tr") if "data-pair" in e.attributes]
    assert rows == ["cup--wave @ one", "cup--wave @ two"]
    inputs = [
        e for e in html.all("button") if "Enlarge style" in e.attributes.get("aria-label", "")
    ]
    assert len(inputs) == 2  # each is read under its name in its suite


def scored(of: Cell, style_loss: float, lens: str, sha256: str) -> Record:
    scores = (
        Score("ssim", style_loss, "", "higher", "pixels"),
        Score("style_loss", style_loss, "ratio", "lower", lens, lens_sha256=sha256 * 64),
    )
    return record(of, scores=scores)


def test_scores_of_different_judges_have_a_warning_and_no_best(tmp_path: Path) -> None:
    one = store_of(tmp_path / "1", [scored(cell("a"), 0.1, "vgg19", "e")])
    two = store_of(tmp_path / "2", [scored(cell("b"), 0.2, "compact", "c")])
    html = render(one=one, two=two)
    judges = "vgg19 (weights eeeeeeeeeeee) in one, compact (weights cccccccccccc) in two"
    start = "style_loss is not comparable between runs, because the judge (the network that"
    assert f"{start} computes the score) differs: {judges}." in warnings(html)
    rows = [board_row(html, name) for name in "ab"]
    assert [row["ssim"][1] for row in rows] == [False, True]
    assert [row["style_loss"][1] for row in rows] == [False, False]
    over = [e.attributes.get("data-group") for e in html.all("td", data_column="style_loss")]
    assert over[0] != over[1]  # so that the script shows no difference
    same = store_of(tmp_path / "3", [scored(cell("b"), 0.2, "vgg19", "e")])
    assert not render(one=one, two=same).all("aside")


def test_different_machines_precisions_and_encoders_have_warnings(tmp_path: Path) -> None:
    small = replace(ENCODER, name="compact", sha256="c" * 64)
    other = record(cell("a", precision="bfloat16", encoder=small), environment={"threads": "8"})
    one = store_of(tmp_path / "1", [record(cell("a"), environment={"threads": "1"})])
    two = store_of(tmp_path / "2", [other], encoder=small)
    html = render(one=one, two=two)
    assert "cpu (threads 1) in one, cpu (threads 8) in two" in warnings(html)
    assert "The precision is float32 in one, bfloat16 in two" in warnings(html)
    assert "The encoder is vgg19 (weights eeeeeeeeeeee) in one, compact" in warnings(html)
    assert variants(html) == ["a @ one", "a @ two"]


@pytest.mark.parametrize(("threads", "best"), [("1", True), ("8", False)])
def test_times_of_different_machines_have_no_best(tmp_path: Path, threads: str, best: bool) -> None:
    quick = Timing(0.0, False, 1.0, 1, 0.1, 5, None, 512.0, "process")
    one = store_of(tmp_path / "1", [record(cell("a"), environment={"threads": "1"})])
    fast = record(cell("b"), timing=quick, environment={"threads": threads})
    html = render(one=one, two=store_of(tmp_path / "2", [fast]))
    assert board_row(html, "b")["stylize_seconds"] == ("1.00 n 1", best, False)


def test_ablations_are_separate_if_suites_use_different_method_versions(tmp_path: Path) -> None:
    def suite(name: str, version: int) -> Store:
        levels = ("gatys[lbfgs]", "gatys[adam]")
        return store_of(tmp_path / name, [record(cell(v, version=version)) for v in levels])

    one, held = suite("1", 1), ", 64 px, encoder vgg19, precision float32, device cpu"
    html = render(one=one, two=suite("2", 2))  # the baseline of adam would be ambiguous
    assert headings(html, "ablation") == [f"one{held}", f"two{held}"]
    assert headings(render(one=one, two=suite("3", 1)), "ablation") == [held[2:]]


def test_all_images_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = store_of(tmp_path / "1", [record(cell("a"))])
    two = store_of(tmp_path / "2", [record(cell("a", CAT))])
    # Each store has a stylized image, a content and a style; together they share the style.
    monkeypatch.setattr("reports.images.BUDGET", 4 * len(png()) * 4 / 3)
    assert not View(one).edge_reduced
    view = View(MergedRuns.of({"one": one, "two": two}))
    assert [group.edge_reduced for group in view.groups] == [True, True]


def test_a_cell_skipped_in_one_suite_is_shown_from_another(tmp_path: Path) -> None:
    skip = Skip("b/cup--wave/s0", "b", "cup--wave", "too slow")
    one = store_of(tmp_path / "1", [record(cell("a"))], skipped=(skip,))
    html = render(one=one, two=store_of(tmp_path / "2", [record(cell("b"))]))
    assert not html.all("p", class_="nst-skipped")
    left = render(one=one, two=store_of(tmp_path / "3", [record(cell("c"))]))
    assert "too slow" in left.all("p", class_="nst-skipped")[0].words


def test_a_cell_that_failed_in_one_suite_is_shown_from_another(tmp_path: Path) -> None:
    failed = record(cell("a"), status="failed", scores=(), timing=None)
    one = store_of(tmp_path / "1", [failed])
    html = render(one=one, two=store_of(tmp_path / "2", [record(cell("a"))]))
    (figure,) = html.all("figure", class_="nst-cell")
    assert "nst-done" in figure.attributes["class"]
    assert [e for e in html.all("img") if "stylized as" in e.attributes["alt"]]


def test_claims_are_evaluated_separately_for_each_suite(tmp_path: Path) -> None:
    def suite(name: str, gain: float) -> Store:
        rows = [
            record(cell(f"gatys[{level}]", content), ssim=0.5 + gain * (level == "adam"))
            for level in ("lbfgs", "adam")
            for content in (CUP, CAT)
        ]
        return store_of(tmp_path / name, rows, claims=(CLAIM,))

    html = render(one=suite("1", 0.1), two=suite("2", -0.2))
    assert headings(html, "claims") == ["one", "two"]
    rows = [e.words for e in html.all("tr", data_claim="O1", data_metric="ssim")]
    assert len(rows) == 2
    assert "+0.100" in rows[0]
    assert "−0.200" in rows[1]


def test_provenance_is_listed_for_each_suite(tmp_path: Path) -> None:
    one = store_of(tmp_path / "1", [record(cell("a"))], command="nstbench run https://me:pw@one")
    one.write_suite("name: one, as it was")
    html = render(one=one, two=store_of(tmp_path / "2", [record(cell("b"))], description="New."))
    (section,) = html.all("section", id="panel-provenance")
    assert headings(html, "provenance")[-2:] == ["one", "two"]
    assert "name: one, as it was" in section.words
    assert "nstbench run https://…@one" in section.words
    head = html.all("header")[0].words
    assert "one Who is best?" in head
    assert "two New." in head


def test_hostile_names_in_several_sources_are_escaped(tmp_path: Path) -> None:
    stores = {}
    for number, more in (("1", {}), ("2", {"iterations": 9})):
        run = two_runs(tmp_path / number).run()
        rows = [
            hostile(record(cell(name, params={"optimizer": "adam"} | more)))
            for name in ("gatys[adam]", "johnson")
        ]
        evil = Store(tmp_path / number, "evil")
        for one in rows:
            evil.write(one, png(), [])
        evil.write_suite(HOSTILE)
        full = replace(run, warnings=(number,), claims=(replace(CLAIM, method="m"),))
        evil.write_run(replace(hostile(full), cells=tuple(one.cell.id for one in rows)))
        stores[HOSTILE + number] = evil
    html = str(page.render_about(stores))
    parsed = Page(html)
    assert f" @ {HOSTILE}2" in parsed.all("body")[0].text
    assert len(parsed.all("script")) == len(page.static("js"))
    assert "<img src=x" not in html
    assert not any(name.startswith("on") for e in parsed.elements for name in e.attributes)
    path = revisions.page_path(tmp_path, list(stores))
    assert path.parent == tmp_path  # labels cannot escape the folder
    assert page.write_about(stores, path).read_text(encoding="utf-8") == html


def test_a_page_about_several_suites_works_in_a_browser(tmp_path: Path) -> None:
    two_runs(tmp_path)
    found = revisions.find_all(["artists~1", "artists"], tmp_path)
    stores = {label: moment.store for label, moment in found.items()}
    dog = ImageUse("dog", "7" * 64, "scikit-image", "A dog")
    stores["dogs"] = store_of(tmp_path / "dogs", [record(cell("a", dog)), record(cell("b", dog))])
    path = page.write_about(stores, revisions.page_path(tmp_path, list(stores)))
    with (
        launched() as browser,
        monitored(browser.new_page(viewport={"width": 390, "height": 800})) as w,
    ):
        w.goto(path.as_uri())
        ids = w.eval_on_selector_all("[id]", "all => all.map((one) => one.id)")
        assert len(ids) == len(set(ids))
        assert w.evaluate("document.documentElement.scrollWidth") <= 390
        w.locator("figure[data-variant='gatys[adam] @ artists~1'] button").click()
        w.locator("select[name=b]").select_option(label="gatys[adam] @ artists")
        captions = w.locator(".nst-captions b").all_inner_texts()
        assert captions == ["gatys[adam] @ artists~1", "gatys[adam] @ artists"]
