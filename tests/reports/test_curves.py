"""Loss curves: axes, paths, labels and points."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import pytest

from harness.records import TracePoint
from reports.charts import curves as chart
from reports.panels import curves
from reports.view_model import View
from tests.helpers.report_page import Page, cell, png, record, store_of


@pytest.mark.parametrize(
    ("low", "high"), [(3, 4e6), (0.9, 1.1), (1e-7, 1.01e-7), (5, 5.5), (1, 10)]
)
def test_logarithmic_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks = chart.log_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert all(low <= tick <= high for tick in ticks)


def test_thinned_curves_keep_their_first_and_last_point() -> None:
    points = [TracePoint("fit", i, 0.0, {"total": 1.0}) for i in range(1001)]
    thinned = curves.thin(points, 200)
    assert len({point.index for point in thinned}) == 200
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])


@pytest.mark.parametrize("cells", [10, 200, 1000, 2000])
def test_the_curves_of_many_cells_stay_small(cells: int) -> None:
    points = curves.max_points(cells)
    zigzag = curve([10.0 ** (i % 2) for i in range(points)])  # the longest possible path data
    (line,) = chart.draw("c", "passes", [zigzag]).lines
    assert sum(len(path) for path in line.paths.values()) * cells < 2_500_000


def curve(losses: list[float], seconds: list[float] | None = None, index: int = 0) -> chart.Curve:
    steps = [float(i) for i in range(len(losses))]
    return chart.Curve(f"v{index}", index, {"steps": steps, "seconds": seconds or steps}, losses)


def test_labels_of_a_chart_do_not_overlap() -> None:
    drawn = chart.draw("c", "passes", [curve([10, 1 + i / 1000], index=i) for i in range(5)])
    for kind in drawn.y_axes:
        heights = sorted(label.at[kind] for label in drawn.labels)
        assert round(min(b - a for a, b in pairwise(heights)), 1) >= chart.LINE_HEIGHT
        assert heights[-1] <= chart.HEIGHT - chart.BOTTOM


def test_a_curve_has_a_path_for_each_combination_of_axes(html: Page) -> None:
    for x, y in product(("steps", "seconds"), ("log", "linear")):
        shown = [e for e in html.all("path", class_=f"nst-on-{x}")
                 if f"nst-on-{y}" in e.attributes["class"]]  # fmt: skip
        assert len(shown) == len(html.all("g", class_="nst-line")) == 2 + 2 + 2  # with anchors
    # Two charts of gatys, each with a label per curve and y axis.
    assert [e.words for e in html.all("text", class_="nst-label")] == ["adam", "lbfgs"] * 2 * 2


def test_linear_and_time_axes_start_at_zero() -> None:
    drawn = chart.draw("c", "passes", [curve([100, 50, 25], [1, 2, 4])])
    # 176 units up to 1.04 * 100: 100 is 169.2 above the floor at 186, 50 is 84.6, 25 is 42.3.
    # 248 units from 48 on: two passes, 124 each; four seconds, 62 each.
    assert drawn.lines[0].paths["steps", "linear"] == "M48 16.8l124 84.6 124 42.3"
    assert drawn.lines[0].paths["seconds", "linear"] == "M110 16.8l62 84.6 124 42.3"
    assert drawn.lines[0].title == "v0: 25.0 after 2 passes, 4.00 s"
    assert not drawn.clipped


def test_a_very_high_first_loss_is_clipped_on_the_linear_axis() -> None:
    drawn = chart.draw("c", "passes", [curve([1000, 50, 25])])
    # The axis ends at 50. 1000 is at 186 - 176 * 1000 / 52 = -3198.6; from there to 50, at 16.8,
    # the frame at 10 is crossed after 3208.6 / 3215.4 of 124 units, at 48 + 123.7.
    assert drawn.clipped
    assert drawn.lines[0].paths["steps", "linear"] == "M171.7 10l.3 6.8 124 84.6"
    assert drawn.lines[0].paths["steps", "log"].startswith("M48 ")
    again = chart.draw("c", "passes", [curve([4, 1, 1, 9, 1, 1, 1, 1, 1, 1, 1])])
    assert not again.clipped  # a later peak is not clipped


def test_flat_curves_without_times_are_drawn() -> None:
    drawn = chart.draw("c", "passes", [curve([5.0, 5.0], [0.0, 0.0])])
    assert drawn.lines[0].title == "v0: 5.00 after 1 passes"
    assert drawn.lines[0].paths["seconds", "linear"] == "M48 16.8l0 0"
    assert drawn.x_axes["seconds"].ticks == [(48.0, "0")]


def test_numbers_of_steps_have_all_their_digits() -> None:
    long = replace(curve([9.0, 5.0]), xs={"steps": [1.0, 1_234_567.0], "seconds": [0.0, 1.0]})
    drawn = chart.draw("c", "steps", [long])
    assert drawn.lines[0].title == "v0: 5.00 after 1234567 steps, 1.00 s"
    assert "1000000" in [text for _, text in drawn.x_axes["steps"].ticks]


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


def test_a_very_high_saved_loss_is_clipped_like_a_curve() -> None:
    line = curve([1000.0, 50, 25, 20, 15, 12, 11, 10, 10, 10, 10])
    steps = {"steps": [0, 10], "seconds": [0, 10]}
    drawn = chart.draw("c", "passes", [replace(line, saved_xs=steps, saved=[1000.0, 40.0])])
    assert drawn.clipped
    assert drawn.lines[0].points["steps", "log"].count("M") == 2
    assert drawn.lines[0].points["steps", "linear"].count("M") == 1


def test_equal_curves_of_several_seeds_are_written_once() -> None:
    one, other = curve([3, 1], [0, 1]), curve([3, 1], [0, 2])
    first, second = chart.draw("c", "passes", [one, other]).lines
    assert len(first.paths) == 4
    assert {x for x, _ in second.paths} == {"seconds"}
