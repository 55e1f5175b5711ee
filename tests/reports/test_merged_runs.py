"""One page about several suites, or moments of one: what is one thing there, and what is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.records import Cell, Claim, ImageUse, Record, Run, Score, Skip, Timing
from harness.store import Store, revisions
from reports import page
from reports.merged_runs import MergedRuns
from reports.view_model import View
from tests.end_to_end.test_run import nstbench
from tests.helpers.browser import launched, quiet
from tests.reports.test_page import (
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
"""As `cell` has it but for the iterations, of which there are 5."""


def two_moments(out: Path) -> Store:
    """A suite that ran on the 19th and, with more iterations of gatys, on the 20th."""
    then = [record(cell("gatys[adam]"), ssim=0.4), record(cell("johnson"), ssim=0.5)]
    now = [record(cell("gatys[adam]", params=NINE), ssim=0.3), then[1]]
    store_of(out, then, started="2026-11-19T08:00:00+00:00")
    return store_of(out, now, started="2026-11-20T23:59:59+00:00")


def together(**stores: Store) -> Page:
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


def test_of_two_moments_what_stayed_is_there_once_and_what_changed_twice(tmp_path: Path) -> None:
    two_moments(tmp_path)
    found = revisions.find_all(["artists~1", "artists"], tmp_path)
    html = together(**{label: moment.store for label, moment in found.items()})
    assert variants(html) == ["gatys[adam] @ artists~1", "gatys[adam] @ artists", "johnson"]
    assert sorted(cells(html).values()) == [1, 1, 1]
    assert board_row(html, "gatys[adam] @ artists~1")["ssim"][0].startswith("0.400")
    assert board_row(html, "gatys[adam] @ artists")["ssim"][0].startswith("0.300")
    assert html.all("h1")[0].words == "artists~1 + artists"
    (runs,) = html.all("section", id="panel-together")
    assert "gatys[adam]: iterations 5 in artists~1, 9 in artists" in runs.words
    assert "3 done 1 of them in several runs" in runs.words
    # And what they changed is a change like those within a suite: 0.3 - 0.4.
    (change,) = html.all("tr", data_change="gatys iterations=9")
    assert "−0.100" in change.words
    ids = Counter(e.attributes["id"] for e in html.elements if "id" in e.attributes)
    assert set(ids.values()) == {1}


def test_suites_without_a_pair_in_common_have_tables_of_their_own(tmp_path: Path) -> None:
    cups = store_of(tmp_path / "1", [record(cell("a"), ssim=0.4), record(cell("b"), ssim=0.2)])
    cats = store_of(tmp_path / "2", [record(cell("a", CAT), ssim=0.9), record(cell("c", CAT))])
    html = together(cups=cups, cats=cats)
    assert headings(html, "leaderboard") == headings(html, "grid") == ["cups", "cats"]
    assert variants(html) == ["a", "b", "a", "c"]  # a is the same recipe in both
    best = [e.words for e in html.all("span", class_="nst-best")]
    assert "0.400" in best  # the best on the cup, though another has more on the cat
    assert not html.all("td", class_="nst-empty")


def test_pairs_that_a_suite_did_not_plan_are_empty(tmp_path: Path) -> None:
    one = store_of(tmp_path / "1", [record(cell("a")), record(cell("a", CAT))])
    html = together(one=one, two=store_of(tmp_path / "2", [record(cell("b"))]))
    assert headings(html, "grid") == []
    assert len(html.all("td", class_="nst-empty", title="not in the plan")) == 1


def test_one_recipe_has_one_name_whatever_suites_call_it(tmp_path: Path) -> None:
    of = cell("gatys[adam]")
    same = [cell("base", c, method="gatys", params=of.params) for c in (CUP, CAT)]
    one = store_of(tmp_path / "1", [record(of, ssim=0.2)])
    html = together(one=one, two=store_of(tmp_path / "2", [record(c, ssim=0.6) for c in same]))
    assert variants(html) == ["gatys[adam]"]
    # The cup's cell is one of both, shown as the first has it: (0.2 + 0.6) / 2.
    assert board_row(html, "gatys[adam]")["ssim"][0] == "0.400 ± 0.283 · n 2"
    assert "gatys[adam] is base in two" in html.all("section", id="panel-together")[0].words


def test_images_of_one_name_that_are_not_the_same_are_rows_apart(tmp_path: Path) -> None:
    real = replace(WAVE, sha256="4" * 64, stand_in=None)
    one = store_of(tmp_path / "1", [record(cell("a"))])
    html = together(one=one, two=store_of(tmp_path / "2", [record(cell("a", style=real))]))
    rows = [e.attributes["data-pair"] for e in html.all("tr") if "data-pair" in e.attributes]
    assert rows == ["cup--wave @ one", "cup--wave @ two"]
    inputs = [
        e for e in html.all("button") if "Enlarge style" in e.attributes.get("aria-label", "")
    ]
    assert len(inputs) == 2  # each is found under its own suite's name


def judged(of: Cell, style_loss: float, lens: str, sha256: str) -> Record:
    scores = (
        Score("ssim", style_loss, "", "higher", "pixels"),
        Score("style_loss", style_loss, "ratio", "lower", lens, lens_sha256=sha256 * 64),
    )
    return record(of, scores=scores)


def test_scores_of_different_judges_are_told_first_and_nobody_is_best(tmp_path: Path) -> None:
    one = store_of(tmp_path / "1", [judged(cell("a"), 0.1, "vgg19", "e")])
    two = store_of(tmp_path / "2", [judged(cell("b"), 0.2, "compact", "c")])
    html = together(one=one, two=two)
    said = "vgg19 (weights eeeeeeeeeeee) in one, compact (weights cccccccccccc) in two"
    assert f"style_loss had different judges, and does not compare: {said}." in warnings(html)
    rows = [board_row(html, name) for name in "ab"]
    assert [row["ssim"][1] for row in rows] == [False, True]
    assert [row["style_loss"][1] for row in rows] == [False, False]
    over = [e.attributes.get("data-over") for e in html.all("td", data_column="style_loss")]
    assert over[0] != over[1]  # the script takes no difference
    same = store_of(tmp_path / "3", [judged(cell("b"), 0.2, "vgg19", "e")])
    assert not together(one=one, two=same).all("aside")


def test_other_machines_precisions_and_encoders_are_told(tmp_path: Path) -> None:
    small = replace(ENCODER, name="compact", sha256="c" * 64)
    other = record(cell("a", precision="bfloat16", encoder=small), environment={"threads": "8"})
    one = store_of(tmp_path / "1", [record(cell("a"), environment={"threads": "1"})])
    two = store_of(tmp_path / "2", [other], encoder=small)
    html = together(one=one, two=two)
    assert "cpu (threads 1) in one, cpu (threads 8) in two" in warnings(html)
    assert "The precision is float32 in one, bfloat16 in two" in warnings(html)
    assert "The encoder is vgg19 (weights eeeeeeeeeeee) in one, compact" in warnings(html)
    assert variants(html) == ["a @ one", "a @ two"]


@pytest.mark.parametrize(("threads", "best"), [("1", True), ("8", False)])
def test_no_time_is_the_best_of_two_machines(tmp_path: Path, threads: str, best: bool) -> None:
    quick = Timing(0.0, False, 1.0, 1, 0.1, 5, None, 512.0, "process")
    one = store_of(tmp_path / "1", [record(cell("a"), environment={"threads": "1"})])
    fast = record(cell("b"), timing=quick, environment={"threads": threads})
    html = together(one=one, two=store_of(tmp_path / "2", [fast]))
    assert board_row(html, "b")["stylize_seconds"] == ("1.00 n 1", best, False)


def test_changes_are_told_of_each_suite_where_one_method_was_two(tmp_path: Path) -> None:
    def suite(name: str, version: int) -> Store:
        levels = ("gatys[lbfgs]", "gatys[adam]")
        return store_of(tmp_path / name, [record(cell(v, version=version)) for v in levels])

    one, held = suite("1", 1), ", 64 px, encoder vgg19, precision float32, device cpu"
    html = together(one=one, two=suite("2", 2))  # adam against which lbfgs?
    assert headings(html, "ablation") == [f"one{held}", f"two{held}"]
    assert headings(together(one=one, two=suite("3", 1)), "ablation") == [held[2:]]


def test_all_images_share_one_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = store_of(tmp_path / "1", [record(cell("a"))])
    two = store_of(tmp_path / "2", [record(cell("a", CAT))])
    # Each is a stylized image, a content and a style; both together have one style less.
    monkeypatch.setattr("reports.images.BUDGET", 4 * len(png()) * 4 / 3)
    assert not View(one).edge_reduced
    view = View(MergedRuns.of({"one": one, "two": two}))
    assert [group.edge_reduced for group in view.groups] == [True, True]


def test_what_one_skipped_and_another_did_is_there(tmp_path: Path) -> None:
    skip = Skip("b/cup--wave/s0", "b", "cup--wave", "too slow")
    one = store_of(tmp_path / "1", [record(cell("a"))], skipped=(skip,))
    html = together(one=one, two=store_of(tmp_path / "2", [record(cell("b"))]))
    assert not html.all("p", class_="nst-skipped")
    left = together(one=one, two=store_of(tmp_path / "3", [record(cell("c"))]))
    assert "too slow" in left.all("p", class_="nst-skipped")[0].words


def test_a_cell_that_failed_in_one_is_shown_as_another_has_it(tmp_path: Path) -> None:
    failed = record(cell("a"), status="failed", scores=(), timing=None)
    one = store_of(tmp_path / "1", [failed])
    html = together(one=one, two=store_of(tmp_path / "2", [record(cell("a"))]))
    (figure,) = html.all("figure", class_="nst-cell")
    assert "nst-done" in figure.attributes["class"]
    assert [e for e in html.all("img") if "stylized as" in e.attributes["alt"]]


def test_claims_are_judged_for_each_suite_on_its_own_cells(tmp_path: Path) -> None:
    def suite(name: str, gain: float) -> Store:
        rows = [
            record(cell(f"gatys[{level}]", content), ssim=0.5 + gain * (level == "adam"))
            for level in ("lbfgs", "adam")
            for content in (CUP, CAT)
        ]
        return store_of(tmp_path / name, rows, claims=(CLAIM,))

    html = together(one=suite("1", 0.1), two=suite("2", -0.2))
    assert headings(html, "claims") == ["one", "two"]
    rows = [e.words for e in html.all("tr", data_claim="O1", data_metric="ssim")]
    assert len(rows) == 2
    assert "+0.100" in rows[0]
    assert "−0.200" in rows[1]


def test_each_suite_has_its_origins(tmp_path: Path) -> None:
    one = store_of(tmp_path / "1", [record(cell("a"))], command="nstbench run https://me:pw@one")
    one.write_suite("name: one, as it was")
    html = together(one=one, two=store_of(tmp_path / "2", [record(cell("b"))], description="New."))
    (section,) = html.all("section", id="panel-provenance")
    assert headings(html, "provenance")[-2:] == ["one", "two"]
    assert "name: one, as it was" in section.words
    assert "nstbench run https://…@one" in section.words
    head = html.all("header")[0].words
    assert "one Who is best?" in head
    assert "two New." in head


def test_hostile_names_in_several_sources_stay_text(tmp_path: Path) -> None:
    stores = {}
    for number, more in (("1", {}), ("2", {"iterations": 9})):
        run = two_moments(tmp_path / number).run()
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
    assert path.parent == tmp_path  # no label leads out of the folder
    assert page.write_about(stores, path).read_text(encoding="utf-8") == html


def run_of(started: str, *ids: str, **changes: Any) -> Run:
    facts: dict[str, Any] = {"reused": 0, "finished": True, **changes}
    return Run("s", "", "", ids, (), ("ssim",), ENCODER, "cpu", "float32", started=started, **facts)


def test_the_history_has_what_one_can_go_back_to(tmp_path: Path) -> None:
    store = Store(tmp_path, "s")

    def starts() -> list[str]:
        return [run.started for run in store.revisions()]

    store.write_suite("first")
    store.write_run(run_of("2026-11-01T10:00:00+00:00", "a", finished=False))
    store.write_run(run_of("2026-11-02T10:00:00+00:00", "a", reused=0))  # goes on after Ctrl-C
    assert starts() == ["2026-11-02T10:00:00+00:00"]
    store.write_run(run_of("2026-11-03T10:00:00+00:00", "a", reused=1))  # finds all done
    assert starts() == ["2026-11-02T10:00:00+00:00"]
    assert store.run().started == "2026-11-03T10:00:00+00:00"
    store.write_suite("second")
    store.write_run(run_of("2026-11-04T10:00:00+00:00", "b"))
    store.write_run(run_of("2026-11-05T10:00:00+00:00", "a", reused=1))  # the first plan again
    assert starts() == [f"2026-11-0{day}T10:00:00+00:00" for day in (2, 4, 5)]
    first, second, _ = store.revisions()
    assert (store.at(first).suite_text(), store.at(second).suite_text()) == ("first", "second")
    assert store.at(first).run() == first
    store.write_run(run_of("2026-11-06T10:00:00+00:00", "a", claims=(CLAIM,), reused=1))
    assert starts()[-1] == "2026-11-06T10:00:00+00:00"  # it claims something else


def test_a_store_of_an_earlier_version_remembers_its_run(tmp_path: Path) -> None:
    store = Store(tmp_path, "s")
    store.write_run(run_of("2026-11-01T10:00:00+00:00", "a"))
    for path in store.root.glob("history/*"):
        path.unlink()
    assert [run.cells for run in store.revisions()] == [("a",)]
    store.write_run(run_of("2026-11-02T10:00:00+00:00", "b"))
    assert [run.cells for run in store.revisions()] == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("artists~0", 20), ("artists~1", 19), ("artists.yaml~1", 19), ("artists@2026-11-19", 19),
        ("artists@2026-11-20", 20), ("artists@2026-11", 20), ("artists@2026-11-20T23:58", 19),
        ("artists@2026-11-20T23:59:59+00:00", 20), ("artists@2027", 20),
    ],
)  # fmt: skip
def test_a_moment_is_named_by_how_far_back_or_by_when(tmp_path: Path, name: str, day: int) -> None:
    two_moments(tmp_path)
    assert revisions.find(name, tmp_path).store.run().started.startswith(f"2026-11-{day}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("artists~2", "artists~2: there are not that many runs"),
        ("artists@2026-11-18", "artists@2026-11-18: no run started by 2026-11-18"),
    ],
)
def test_an_unknown_moment_lists_those_there_are(tmp_path: Path, name: str, said: str) -> None:
    two_moments(tmp_path)
    with pytest.raises(UsageError) as caught:
        revisions.find(name, tmp_path)
    assert str(caught.value) == (
        f"{said}. Available runs:\n"
        "    artists    artists@2026-11-20T23:59:59\n"
        "    artists~1  artists@2026-11-19T08:00:00"
    )


@pytest.mark.parametrize("name", ["artists~x", "artists@yesterday", "artists@2026-1", "artists@"])
def test_what_is_no_moment_is_told_what_would_be(tmp_path: Path, name: str) -> None:
    two_moments(tmp_path)
    with pytest.raises(UsageError, match=r"[~@] needs .*, as in suite[~@]"):
        revisions.find(name, tmp_path)


def test_names_of_one_run_are_not_compared(tmp_path: Path) -> None:
    two_moments(tmp_path)
    with pytest.raises(UsageError, match=r"artists and artists@2026-11-20 are the same run"):
        revisions.find_all(["artists", "artists@2026-11-20"], tmp_path)


def test_the_command_line_takes_suites_moments_and_folders(tmp_path: Path) -> None:
    two_moments(tmp_path / "runs")
    old = store_of(tmp_path / "old", [record(cell("johnson"), ssim=0.9)]).root
    done = nstbench("report", "artists~1", "artists", old, "--out", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    written = Path(done.stdout.strip())
    assert written == tmp_path / "runs" / "artists~1+artists+old-artists.html"
    assert "<h1>artists~1 + artists + old/artists</h1>" in written.read_text(encoding="utf-8")
    assert not (tmp_path / "runs" / "artists" / "report.html").exists()
    alone = nstbench("report", "artists~1", "--folder", "--out", tmp_path / "runs")
    assert alone.stdout.strip() == str(tmp_path / "runs" / "artists~1" / "index.html")
    assert list((tmp_path / "runs" / "artists~1" / "images").glob("*.png"))
    wrong = nstbench("report", "artists~7", "--out", tmp_path / "runs")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_a_browser_shows_it(tmp_path: Path) -> None:
    two_moments(tmp_path)
    found = revisions.find_all(["artists~1", "artists"], tmp_path)
    stores = {label: moment.store for label, moment in found.items()}
    dog = ImageUse("dog", "7" * 64, "scikit-image", "A dog")
    stores["dogs"] = store_of(tmp_path / "dogs", [record(cell("a", dog)), record(cell("b", dog))])
    path = page.write_about(stores, revisions.page_path(tmp_path, list(stores)))
    with (
        launched() as browser,
        quiet(browser.new_page(viewport={"width": 390, "height": 800})) as w,
    ):
        w.goto(path.as_uri())
        ids = w.eval_on_selector_all("[id]", "all => all.map((one) => one.id)")
        assert len(ids) == len(set(ids))
        assert w.evaluate("document.documentElement.scrollWidth") <= 390
        w.locator("figure[data-variant='gatys[adam] @ artists~1'] button").click()
        w.locator("select[name=b]").select_option(label="gatys[adam] @ artists")
        said = w.locator(".nst-words b").all_inner_texts()
        assert said == ["gatys[adam] @ artists~1", "gatys[adam] @ artists"]
