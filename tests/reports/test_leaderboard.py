"""The leaderboard: means, the best values, times and circular scores, with the arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.records import EncoderUse, ImageUse, Timing
from reports import aggregates, page
from tests.helpers.report_page import CAT, CUP, ENCODER, Page, board_row, cell, record, store_of

DOG = ImageUse("dog", "4" * 64, "scikit-image", "A dog")


def test_best_in_the_leaderboard_is_the_best_mean_and_never_an_anchor(html: Page) -> None:
    lbfgs, adam = board_row(html, "gatys[lbfgs]"), board_row(html, "gatys[adam]")
    # lbfgs: mean (0.40 + 0.60) / 2 = 0.500, deviation 0.10 * sqrt 2 = 0.141; adam: 0.675, 0.035
    assert lbfgs["ssim"] == ("0.500 ± 0.141 · n 2", False, False)
    assert adam["ssim"] == ("0.675 ± 0.035 · n 2", True, False)
    # lbfgs: (0.01 + 0.03) / 2 = 0.02 is lower than adam's (0.02 + 0.06) / 2 = 0.04
    assert lbfgs["style_loss"][1:] == (True, True)
    assert adam["style_loss"][1:] == (False, True)
    # The anchor would be best with its SSIM of 1, and vgg19 is the judge of its style loss too.
    assert not any(best or circular for _, best, circular in board_row(html, "identity").values())


def test_ties_and_columns_without_direction_have_no_best(html: Page) -> None:
    for column in ("roughness", "stylize_seconds", "pass_ms", "peak_mb"):
        for variant in ("gatys[lbfgs]", "gatys[adam]"):
            assert not board_row(html, variant)[column][1]


def test_a_mean_over_fewer_pairs_is_not_ranked(tmp_path: Path) -> None:
    records = [
        record(cell("a"), ssim=0.5),
        record(cell("a", CAT), ssim=0.3),
        record(cell("b"), ssim=0.4),
        record(cell("b", CAT), ssim=0.1),
        record(cell("c"), ssim=0.9),  # 0.9 exceeds the 0.4 of a, but only on the easier pair
    ]
    html = Page(page.render(store_of(tmp_path, records)))
    assert [board_row(html, name)["ssim"][1] for name in "abc"] == [True, False, False]
    assert "over fewer pairs" in html.all("section", id="panel-leaderboard")[0].words


def test_a_missing_score_is_a_dash_with_its_reason(html: Page) -> None:
    assert board_row(html, "gatys[adam]")["lpips"][0] == "–1"
    assert html.all("li", id="nst-note-1")[0].words == ("LPIPS is not available: no trained trunk")


def test_a_mean_names_how_many_images_it_leaves_out_and_why(tmp_path: Path) -> None:
    records = [
        record(cell("a"), ssim=0.5), record(cell("a", CAT), ssim=0.3), record(cell("a", DOG), None),
    ]  # fmt: skip
    html = Page(page.render(store_of(tmp_path, records)))
    assert board_row(html, "a")["ssim"][0] == "0.4001 ± 0.141 · n 2"  # the mean, with footnote 1
    assert html.all("li", id="nst-note-1")[0].words == (
        "SSIM is not available for 1 of 3 images, which are not part of the mean: too small"
    )


def test_several_reasons_for_missing_scores_are_one_footnote(tmp_path: Path) -> None:
    """The grid has the reason of each image."""
    first, second, third = (record(cell("a", use), None) for use in (CUP, CAT, DOG))
    other = replace(second.scores[0], why_missing="another reason")
    second = replace(second, scores=(other, *second.scores[1:]))
    there = record(cell("a", replace(DOG, sha256="5" * 64, name="fox")), ssim=0.5)
    html = Page(page.render(store_of(tmp_path, [first, second, third, there])))
    assert html.all("li", id="nst-note-1")[0].words == (
        "SSIM is not available for 3 of 4 images, which are not part of the mean:"
        " for example, too small"
    )


def test_seconds_of_a_shared_fit_count_once(tmp_path: Path) -> None:
    records = [record(cell("johnson", content)) for content in (CUP, CAT)]
    assert records[0].cell.fit_id == records[1].cell.fit_id
    html = Page(page.render(store_of(tmp_path, records)))
    assert board_row(html, "johnson")["fit_seconds"][0] == "2.00 n 1"
    assert board_row(html, "johnson")["stylize_seconds"][0] == "4.00 ± 0 · n 2"


def test_disturbed_and_shared_times_are_approximate_and_not_best(tmp_path: Path) -> None:
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
    assert not times["gatys[adam]"][1]  # the fastest, but approximate
    text = " ".join(e.words for e in html.all("body"))
    assert f"1 of 1 measurements were disturbed (for example, {busy})" in text
    assert "up to 4 cells ran in one batch" in text
    # The curves end at 0.4 s; the share of johnson in its batch of four is a quarter of that.
    ends = ("adam: 20.0 after 4 passes, ≈ 0.400 s", "lbfgs: 20.0 after 4 passes, 0.400 s",
            "johnson: 20.0 after 4 passes, ≈ 0.100 s")  # fmt: skip
    assert all(end in text for end in ends)


def test_only_scores_computed_with_the_optimised_network_are_circular(tmp_path: Path) -> None:
    small = EncoderUse("compact", "c" * 64, "comes with nstbench")
    cells = [cell("gatys[vgg19]"), cell("gatys[compact]", encoder=small), cell("identity")]
    store = store_of(tmp_path, [record(one) for one in cells])
    html = Page(page.render(store))
    circular = {v: board_row(html, v)["style_loss"][2] for v in (c.variant for c in cells)}
    assert circular == {"gatys[vgg19]": True, "gatys[compact]": False, "identity": False}
    named = {element.words for element in html.all("code", class_="nst-hash")}
    assert {small.sha256, ENCODER.sha256} <= named
    (provenance,) = html.all("section", id="panel-provenance")
    assert f"compact (comes with nstbench) {small.sha256}" in provenance.words


def test_each_size_has_its_own_leaderboard_and_grid(tmp_path: Path) -> None:
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


def test_best_needs_different_values() -> None:
    assert aggregates.best({"a": 1.0}, "lower") == set()
    assert aggregates.best({"a": 1.0, "b": 1.0}, "lower") == set()
    assert aggregates.best({"a": 1.0, "b": 2.0, "c": 1.0}, "lower") == {"a", "c"}
    assert aggregates.best({"a": 1.0, "b": 2.0}, "neither") == set()
