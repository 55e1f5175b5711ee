"""The summary at the head of the page: what ran, the answer, and one line per warning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.records import Claim, Failure
from harness.store import Store
from reports import page
from tests.helpers.report_page import CAT, CUP, Element, Page, cell, record, store_of

CLAIM = Claim("C1", "Adam keeps more.", "optimizer", ("lbfgs", "adam"), "ssim", "higher", "gatys")


def summary(html: Page) -> Element:
    return html.all("section", id="panel-summary")[0]


def answers(html: Page) -> list[str]:
    return [e.words for e in html.all("p", class_="nst-answer")]


def lines(html: Page) -> list[str]:
    """Return what is visible of the warnings before a click."""
    (box,) = html.all("aside", aria_label="Warnings")
    items = [e for e in html.all("li") if html.inside(box, e)]
    folds = [e for e in html.all("details") if html.inside(box, e)]
    assert all("open" not in fold.attributes for fold in folds)
    outer = [e for e in items if not any(html.inside(fold, e) for fold in folds)]
    heads = {li: [s for s in html.all("summary") if html.inside(li, s)] for li in outer}
    return [(found[0] if found else li).words for li, found in heads.items()]


def test_the_summary_states_what_ran(html: Page, store: Store) -> None:
    words = summary(html).words
    assert "Cells: 6 done 1 failed 1 skipped" in words
    assert "3 variants 1 anchor 2 pairs 64 px cpu, float32" in words
    links = [e.attributes["href"] for e in html.all("a") if html.inside(summary(html), e)]
    assert links.count("#panel-failures") == 2  # from the failed and from the skipped cells


def test_the_summary_names_the_only_best_variant_of_each_score(html: Page) -> None:
    # johnson has no result; times and roughness are equal or have no direction, so none is best.
    (answer,) = answers(html)
    start = "Best means of the 2 variants with the most pairs: "
    assert answer == start + "gatys[adam] in SSIM; gatys[lbfgs] in ◦ style loss."


def test_variants_with_fewer_pairs_do_not_count_as_best(tmp_path: Path) -> None:
    rows = [record(cell("a", c), ssim=s, style_loss=0.1) for c, s in ((CUP, 0.5), (CAT, 0.3))]
    rows += [record(cell("b", c), ssim=0.1, style_loss=0.1) for c in (CUP, CAT)]
    rows += [record(cell("c"), ssim=0.9, style_loss=0.1)]
    (answer,) = answers(Page(page.render(store_of(tmp_path, rows))))
    assert answer == "Best means of the 2 variants with the most pairs: a in SSIM."


def test_without_a_single_best_there_is_no_sentence(tmp_path: Path) -> None:
    rows = [record(cell(name), ssim=0.5, style_loss=0.1) for name in ("a", "b")]
    assert answers(Page(page.render(store_of(tmp_path, rows)))) == []


def test_the_summary_names_three_variants_at_most(tmp_path: Path) -> None:
    rows = []
    for index, name in enumerate("abcd"):
        one = record(cell(name))
        scores = [replace(one.scores[0], name=f"score_{n}", value=float(n == name)) for n in "abcd"]
        rows.append(replace(one, scores=tuple(scores)))
        assert rows[index].scores[index].value == 1.0
    (answer,) = answers(Page(page.render(store_of(tmp_path, rows, metrics=()))))
    assert answer == (
        "Best means: a in score a; b in score b; c in score c; other variants in score d."
    )


@pytest.mark.parametrize(("control", "unreliable"), [(0.0, False), (0.5, True)])
def test_the_summary_groups_claims_by_verdict(
    tmp_path: Path, control: float, unreliable: bool
) -> None:
    styles = [replace(CAT, name=f"style{i}", sha256=f"5{i}" * 32) for i in range(6)]
    contents = [replace(CUP, name=f"content{i}", sha256=f"6{i}" * 32) for i in range(6)]
    gain = {"lbfgs": 0.0, "adam": 0.3, "zero": control}
    rows = [
        record(cell(f"gatys[{level}]", content, style=style), ssim=0.2 + gain[level] + i / 1e3)
        for level in gain
        for style in styles
        for i, content in enumerate(contents)
    ]
    claims = (
        CLAIM,
        replace(CLAIM, id="C2", predicts="lower"),
        replace(CLAIM, id="C3"),
        replace(CLAIM, id="C0", levels=("lbfgs", "zero"), predicts="none", control="null"),
    )
    store = store_of(tmp_path, rows, claims=claims)
    (answer,) = answers(Page(page.render(store)))
    note = "a control failed, so the verdicts are not reliable; "
    assert answer == f"Claims: {note * unreliable}✓ supported C1, C3; ✗ contradicted C2."


def test_each_warning_is_one_line_that_opens(tmp_path: Path) -> None:
    texts = ("LPIPS is not available: no weights. Pass --weights.", "Trained on 3 images.")
    html = Page(page.render(store_of(tmp_path, [record(cell("a"))], warnings=texts)))
    assert lines(html) == ["LPIPS is not available:", "Trained on 3 images."]
    (box,) = html.all("aside")
    assert box.words == " ".join(texts)


def test_further_warnings_are_in_a_fold(tmp_path: Path) -> None:
    texts = tuple(f"Warning {i}: details." for i in range(6))
    html = Page(page.render(store_of(tmp_path, [record(cell("a"))], warnings=texts)))
    assert lines(html) == ["Warning 0:", "Warning 1:", "Warning 2:", "3 more warnings"]
    assert "Warning 5: details." in html.all("aside")[0].words


def test_an_unfinished_run_is_the_first_warning(tmp_path: Path) -> None:
    store = store_of(tmp_path, [record(cell("a"))], finished=False, warnings=("w: x",) * 9)
    assert lines(Page(page.render(store)))[0] == "The run has not finished."


def test_a_warning_about_one_of_several_runs_names_it(tmp_path: Path) -> None:
    one = store_of(tmp_path / "1", [record(cell("a"))], warnings=("LPIPS is missing: why",))
    html = Page(
        page.render_about({"one": one, "two": store_of(tmp_path / "2", [record(cell("b"))])})
    )
    assert lines(html) == ["one: LPIPS is missing:"]


def test_anchors_are_the_last_columns_of_the_grid(html: Page, store: Store) -> None:
    assert next(store.records(store.run())).cell.variant == "identity"  # the first in the plan
    (row, *_) = (e for e in html.all("tr") if "data-pair" in e.attributes)
    cells = [f.attributes["data-variant"] for f in html.all("figure", class_="nst-cell")
             if html.inside(row, f)]  # fmt: skip
    assert cells == ["gatys[lbfgs]", "gatys[adam]", "johnson", "identity"]


def test_settings_of_the_run_follow_the_tables(html: Page) -> None:
    (settings,) = html.all("section", id="panel-settings")
    assert "Profilelaptop" in settings.words
    assert "torchvision · eeeeeeeeeeee" in settings.words
    sections = [e.attributes["id"] for e in html.all("section")]
    assert sections.index("panel-settings") > sections.index("panel-leaderboard")


def test_failed_cells_of_all_kinds_link_to_their_reasons(tmp_path: Path) -> None:
    kinds = ("failed", "crashed", "timeout", "out_of_memory", "diverged")
    rows = [
        record(cell(kind), status=kind, scores=(), timing=None, failure=Failure("E", "why"))
        for kind in kinds
    ]
    html = Page(page.render(store_of(tmp_path, rows)))
    counts = html.all("ul", class_="nst-counts")[0]
    links = {e.words for e in html.all("a", href="#panel-failures") if html.inside(counts, e)}
    assert links == {kind.replace("_", " ") for kind in kinds}
