"""Loss curves: one small chart per method and per pair or style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from markupsafe import Markup

from harness.analysis import comparable_costs
from harness.records import Record, TracePoint
from harness.store.traces import without_trials
from reports.charts.curves import Chart, Curve, XAxis, draw
from reports.templating import fill
from reports.view_model import Variant, View

title = "Loss curves"
order = 40

MAX_POINTS, MIN_POINTS, ALL_POINTS = 200, 20, 40_000
"""Limits per curve and for all curves: a point is drawn four times, in about 7 characters each."""


@dataclass(frozen=True)
class Multiple:
    """All charts of one label, with their common legend."""

    label: str
    names: list[str]
    charts: list[Chart]


def render(view: View) -> Markup | None:
    """Render the total loss; variants of one label share a chart."""
    labels = dict.fromkeys(variant.label for variant in view.variants)
    multiples = [m for label in labels if (m := _multiple(view, label)).charts]
    charts = [chart for multiple in multiples for chart in multiple.charts]
    if not charts:
        return None
    return fill(
        "curves",
        multiples=multiples,
        steps=" or ".join(dict.fromkeys(chart.x_axes["steps"].name for chart in charts)),
        clipped=any(chart.clipped for chart in charts),
        with_saved=any(line.points for chart in charts for line in chart.lines),
    )


def _multiple(view: View, label: str) -> Multiple:
    variants = [variant for variant in view.variants if variant.label == label]
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    # Use the order of the grid, even if some cells of a variant failed.
    for record in chain.from_iterable(view.by_place.values()):
        if record.cell.label != label:
            continue
        trace = view.store.trace(record.cell.id)
        if points := _points(trace, max_points(len(view.records))):
            place, key = _place(view, record, fit=points[0].phase == "fit")
            saved = [point for point in trace if _drawable(point.saved.get("total"))]
            # Cells that share a fit share its curve.
            groups.setdefault(place, {}).setdefault(key, _curve(record, points, saved, variants))
    used = {curve.name for curves in groups.values() for curve in curves.values()}
    return Multiple(
        label,
        [variant.short if variant.short in used else "" for variant in variants],
        [draw(name, axis, list(curves.values())) for (name, axis), curves in groups.items()],
    )


def _points(trace: Sequence[TracePoint], most: int) -> list[TracePoint]:
    """Return the points with a positive loss, of the stylization or else of the fit."""
    points = [point for point in trace if _drawable(point.losses.get("total"))]
    stylize = [point for point in points if point.phase == "stylize"]
    accepted = without_trials(stylize or points)
    return thin(accepted, most) if len(accepted) > 1 else []


def _drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def max_points(cells: int) -> int:
    """Return the maximum number of points per curve in a page of `cells` cells."""
    return max(MIN_POINTS, min(MAX_POINTS, ALL_POINTS // cells))


def thin(points: Sequence[TracePoint], most: int) -> list[TracePoint]:
    """Return at most `most` evenly spaced points, including the first and the last."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def _place(view: View, record: Record, *, fit: bool) -> tuple[tuple[str, str], str]:
    """Return the name and step axis of the chart, and the key of the curve in it."""
    cell = record.cell
    size = f", {cell.size} px" if len(view.sizes) > 1 else ""
    if fit:
        return (f"{cell.style.name}{size}", "training steps"), cell.fit_id
    return (f"{cell.content.name} × {cell.style.name}{size}", "passes"), cell.id


def _curve(
    record: Record, points: list[TracePoint], saved: list[TracePoint], variants: list[Variant]
) -> Curve:
    names = [variant.name for variant in variants]
    index = names.index(record.cell.variant)
    timing = record.timing
    # Stylization of a batch is timed for all of its cells together, a fit on its own.
    share = timing.shared_by if timing and points[0].phase == "stylize" else 1
    qualifier = comparable_costs.qualifier(record)
    return Curve(
        name=variants[index].short,
        index=index,
        xs=_xs(points, share),
        losses=[point.losses["total"] for point in points],
        note=", ".join(filter(None, (f"seed {record.cell.seed}", qualifier))),
        approximate=share > 1 or bool(timing and timing.noisy),
        saved_xs=_xs(saved, share),
        saved=[point.saved["total"] for point in saved],
    )


def _xs(points: Sequence[TracePoint], share: int) -> dict[XAxis, list[float]]:
    return {
        "steps": [point.index for point in points],
        "seconds": [point.seconds / share for point in points],
    }
