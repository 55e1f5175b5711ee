"""Scatter plots: the Pareto front and anchors."""

from __future__ import annotations

from reports.charts import scatter
from reports.view_model import Column


def test_the_pareto_front_contains_all_points_that_are_not_dominated() -> None:
    low, high = Column("style", "style", "", "lower"), Column("ssim", "SSIM", "", "higher")

    def names(x: Column, y: Column) -> str:
        values = {"a": (1, 4), "b": (2, 2), "c": (3, 3), "d": (4, 1), "e": (4, 2), "anchor": (0, 0)}
        points = [scatter.Point(n, n, *v, n != "anchor", False) for n, v in values.items()]
        return "".join(point.name for point in scatter.pareto_front(points, x, y))

    # c = (3, 3) is dominated by b = (2, 2), and e = (4, 2) by d = (4, 1).
    assert names(low, low) == "abd"
    assert names(low, high) == "a"  # 1 is the lowest, and 4 the highest
    assert names(high, low) == "d"
    assert names(high, high) == "ace"


def test_distant_anchors_are_omitted() -> None:
    low = Column("style", "style", "", "lower")
    values = {"a": 1.0, "b": 2.0, "near": 2.9, "far": 3.1}
    anchors = {"near", "far"}
    points = [scatter.Point(n, n, v, v, n not in anchors, n in anchors) for n, v in values.items()]
    marks = scatter.draw(low, low, points, log=frozenset()).marks
    assert {mark.point.name for mark in marks} == {"a", "b", "near"}
