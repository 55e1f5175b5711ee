"""Selection of the points of a loss trace for charts.

MLflow and the page show the same selection.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import TracePoint


def without_trials(points: Sequence[TracePoint]) -> list[TracePoint]:
    """Remove trial points of a line search that overshot, which would dominate a chart's scale.

    Such a point has a total above twice the first one, in a run that ended below the first. A run
    that ended higher keeps all its points. trace.csv has every point.
    """
    totals = [point.losses.get("total", 0.0) for point in points]
    if not totals or not totals[-1] <= totals[0]:
        return list(points)
    return [p for p, total in zip(points, totals, strict=True) if total <= 2 * totals[0]]
