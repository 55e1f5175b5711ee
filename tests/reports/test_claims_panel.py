"""The claims and ablation panels, with the arithmetic of their numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.analysis.claims import ClaimRow
from harness.records import Claim, ImageUse, Record
from reports import page
from reports.charts import forest
from reports.formatting import effects
from tests.helpers.report_page import CUP, WAVE, Page, cell, record, store_of

CLAIM = Claim("O1", "Adam keeps more.", "optimizer", ("lbfgs", "adam"), "ssim", "higher", "gatys",
              source="Nobody 2020", also=("style_loss",))  # fmt: skip


def numbered(use: ImageUse, count: int) -> list[ImageUse]:
    return [replace(use, name=f"{use.name}{i}", sha256=f"{i}" * 64) for i in range(count)]


def blocks(
    effect: Callable[[int], float], styles: int = 6, loss: float = 2.0, anchors: bool = False
) -> list[Record]:
    """Return records of six contents and several styles at both levels.

    The SSIM of adam is higher by `effect` of the style, and its style loss is `loss` times as high.
    """
    labels = ["gatys[lbfgs]", "gatys[adam]", *["identity"] * anchors]
    return [
        record(
            cell(label, content, style=style),
            ssim=0.5 + (effect(index) if label == "gatys[adam]" else 0.0),
            style_loss=0.1 * (loss if label == "gatys[adam]" else 1.0),
        )
        for label in labels
        for index, style in enumerate(numbered(WAVE, styles))
        for content in numbered(CUP, 6)
    ]


def shown(tmp_path: Path, records: list[Record], *claims: Claim) -> Page:
    return Page(page.render(store_of(tmp_path, records, claims=claims)))


def row(html: Page, metric: str, claim: str = "O1") -> list[str]:
    """Return the texts of the row of a claim: claim, verdict, plot, effect, means, n, p."""
    (line,) = html.all("tr", data_claim=claim, data_metric=metric)
    cells = [e for e in html.elements if e.tag in ("th", "td") and html.inside(line, e)]
    return [cell.words for cell in cells]


def wavering(style: int) -> float:
    return 0.1 + (0.02 if style % 2 else -0.02)


def test_a_claim_shows_its_effect_interval_and_verdict(tmp_path: Path) -> None:
    claim, verdict, _, effect, means, n, p = row(shown(tmp_path, blocks(wavering), CLAIM), "ssim")
    # Style means are 0.08 or 0.12: MS_s = 6 * 6 * 0.02^2 / 5 = 0.00288, MS_c = MS_sc = 0. The
    # variance of the mean is 0.00288 / 36 = 0.00008, with 5 degrees of freedom, of which Student's
    # t is 2.571: 0.1 ± 2.571 * 0.00894 = 0.1 ± 0.0230.
    assert effect == "+0.100 [0.0770, 0.123]"
    assert means == "0.500 → 0.600"
    assert n == "6 × 6 × 1"
    assert p == "< 0.001"
    assert verdict == "✓ supported"
    assert claim == (
        "O1 Adam keeps more. gatys, optimizer: lbfgs → adam predicted: higher · Nobody 2020"
    )


def test_conditions_are_part_of_the_verdict(tmp_path: Path) -> None:
    html = shown(tmp_path, blocks(wavering), CLAIM)
    held = "64 px, encoder vgg19, precision float32, device cpu"
    assert held in html.all("section", id="panel-claims")[0].words
    both = [*blocks(wavering), *(
        replace(one, cell=replace(one.cell, size=128)) for one in blocks(lambda _: 0.0)
    )]  # fmt: skip
    html = shown(tmp_path / "both", both, CLAIM)
    small, large = [e.words for e in html.all("tr", data_claim="O1", data_metric="ssim")]
    assert "64 px" in small
    assert "supported" in small
    assert "128 px" in large
    assert "equivalent" in large


def test_secondary_metrics_are_in_a_closed_section(tmp_path: Path) -> None:
    html = shown(tmp_path, blocks(wavering), CLAIM)
    (folded,) = [e for e in html.all("details") if "Secondary metrics" in e.words]
    (line,) = html.all("tr", data_claim="O1", data_metric="style_loss")
    assert line.words in folded.words
    assert "◦ ×2.00 [2.00, 2.00]" in line.words
    (decides,) = html.all("tr", data_claim="O1", data_metric="ssim")
    assert decides.words not in folded.words


@pytest.mark.parametrize(
    ("change", "styles", "words"),
    [
        ({}, 6, "✓ supported"),
        ({"predicts": "lower"}, 6, "✗ contradicted"),
        ({"smallest": 0.2}, 6, "= equivalent"),
        ({"smallest": 0.11}, 6, "✓ supported small"),
        ({}, 5, "· illustration"),
        ({"levels": ("lbfgs", "sgd")}, 6, "– not tested no cell of gatys has optimizer sgd"),
    ],
)
def test_a_verdict_has_a_sign_and_a_word_besides_its_colour(
    tmp_path: Path, change: dict[str, object], styles: int, words: str
) -> None:
    claim = replace(CLAIM, **change)  # type: ignore[arg-type]
    assert row(shown(tmp_path, blocks(wavering, styles), claim), "ssim")[1] == words


def test_a_failed_control_is_shown_above_all_verdicts(tmp_path: Path) -> None:
    control = replace(CLAIM, id="Z1", predicts="none", control="null")
    html = shown(tmp_path, blocks(wavering), CLAIM, control)
    (banner,) = html.all("aside", aria_label="A control failed")
    assert "The control Z1 found a difference where there is none." in banner.words
    assert "Z1" not in row(html, "ssim")[1]  # shown once, not in every row
    (controls,) = [e for e in html.all("tbody", class_="nst-controls") if "ssim" in e.words]
    assert controls.words.startswith("Controls ssim")
    sound = shown(tmp_path / "sound", blocks(lambda _: 0.0, loss=1.0), CLAIM, control)
    assert not sound.all("aside", aria_label="A control failed")


def test_a_missing_cell_is_a_footnote(tmp_path: Path) -> None:
    html = shown(tmp_path, blocks(wavering, styles=7)[:-1], CLAIM)
    (note,) = html.all("li", id="nst-claim-note-1")
    assert "dropped: cells or scores are missing" in note.words
    assert row(html, "ssim")[1].endswith("1")


def test_a_suite_without_claims_has_no_claims_panel(tmp_path: Path) -> None:
    html = shown(tmp_path, blocks(wavering))
    assert not html.all("section", id="panel-claims")
    assert not shown(tmp_path / "none", [], CLAIM).all("section", id="panel-claims")


def changed(html: Page, column: str) -> str:
    (line,) = html.all("tr", data_change="gatys optimizer=adam")
    (entry,) = [e for e in html.all("td", data_column=column) if html.inside(line, e)]
    return entry.words


def test_an_ablation_has_a_row_per_change_and_baseline_means(tmp_path: Path) -> None:
    html = shown(tmp_path, blocks(wavering, anchors=True))
    assert changed(html, "ssim") == "✓ +0.100 [0.0770, 0.123]"
    assert changed(html, "style_loss") == "◦ ✗ ×2.00 [2.00, 2.00]"
    assert changed(html, "stylize_seconds") == "= ×1.00 [1.00, 1.00]"
    (body,) = html.all("tbody", data_method="gatys")
    (baseline,) = [e for e in html.all("tr", class_="nst-baseline") if html.inside(body, e)]
    assert baseline.words == "gatys optimizer lbfgs 36 cells 0.500 0.100 4.00"
    assert not html.all("tbody", data_method="identity")  # it has no factors


def test_few_images_give_an_illustration_without_verdicts(tmp_path: Path) -> None:
    html = shown(tmp_path, blocks(wavering, styles=2))
    assert changed(html, "ssim") == "+0.100 [−0.154, 0.354]"  # t of 1 degree: 12.71 * 0.02
    panel = html.all("section", id="panel-ablation")[0].words
    assert "Illustration only" in panel
    assert "Benjamini" not in panel


def test_ablations_need_a_factor(tmp_path: Path) -> None:
    html = shown(tmp_path, [record(cell("a")), record(cell("b"))])
    assert not html.all("section", id="panel-ablation")


def test_a_run_in_which_all_cells_failed_has_a_page(tmp_path: Path) -> None:
    failed = [replace(r, status="failed", scores=(), timing=None) for r in blocks(wavering)]
    html = shown(tmp_path, failed, CLAIM)
    assert row(html, "ssim")[1].startswith("– unavailable")


def made(unit: str, estimate: float, low: float, high: float, smallest: float) -> ClaimRow:
    return ClaimRow(
        claim_id="c", statement="", source="", factors="", predicted_sign="lower", metric="m",
        primary=True, unit=unit, better="lower", smallest=smallest, verdict="inconclusive",
        estimate=estimate, ci_lo=low, ci_hi=high,
    )  # fmt: skip


def test_intervals_of_a_metric_share_an_axis() -> None:
    rows = [made("dB", -8.0, -10.0, -6.0, 3.0), made("dB", 1.0, -1.0, 3.0, 3.0)]
    axis = forest.axis(rows)
    assert axis
    first, second = (axis.place(one) for one in rows)
    assert first
    assert second
    assert first.interval
    assert second.interval
    assert first.band == second.band
    assert first.band[0] < axis.no_effect < first.band[1]
    assert first.interval[1] - first.interval[0] == second.interval[1] - second.interval[0]
    assert 0 <= first.interval[0] < second.interval[1] <= axis.width
    assert (axis.no_effect, "0") in axis.ticks


def test_inverse_ratios_have_the_same_distance_from_no_effect() -> None:
    rows = [made("×", 0.5, 0.25, 1.0, 1.1), made("×", 2.0, 1.0, 4.0, 1.1)]
    axis = forest.axis(rows)
    assert axis
    half, double = (axis.place(one) for one in rows)
    assert half
    assert double
    assert math.isclose(axis.no_effect - half.at, double.at - axis.no_effect)
    assert (axis.no_effect, "×1") in axis.ticks


def test_labels_of_an_axis_do_not_overlap() -> None:
    for high in (1.2, 3.0, 40.0, 1e6):
        axis = forest.axis([made("×", 1.1, 0.9, high, 1.1)])
        assert axis
        places = [x for x, _ in axis.ticks]
        assert len(places) > 1
        assert all(b - a >= forest.MIN_LABEL_DISTANCE for a, b in itertools.pairwise(places))


def test_a_missing_effect_has_no_mark() -> None:
    nothing = replace(made("dB", 0.0, 0.0, 0.0, 3.0), estimate=None, ci_lo=None, ci_hi=None)
    assert forest.axis([nothing]) is None
    axis = forest.axis([nothing, made("dB", 1.0, 0.0, 2.0, 3.0)])
    assert axis
    assert axis.place(nothing) is None


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0.5, "dB", "+0.500 dB"),
        (-17.24, "dB", "−17.2 dB"),
        (0.1, "", "+0.100"),
        (1.23, "×", "×1.23"),
    ],
)
def test_effects_have_a_sign_and_ratios_a_cross(value: float, unit: str, written: str) -> None:
    assert effects.amount(value, unit, signed=True) == written
