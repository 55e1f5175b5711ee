"""How the loss fell: one small chart per style or pair and method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from markupsafe import Markup

from harness.records import Record, TracePoint, without_trials
from reports.chart import Chart, Curve, draw
from reports.templating import fill
from reports.view import Variant, View

title = "Loss curves"
order = 40

MOST_POINTS = 200


@dataclass(frozen=True)
class Multiple:
    """All charts of one label, with the legend that they share."""

    label: str
    names: list[str]
    charts: list[Chart]


def render(view: View) -> Markup | None:
    """Show the total loss, variants of a label in one chart."""
    labels = dict.fromkeys(variant.label for variant in view.variants)
    multiples = [m for label in labels if (m := _multiple(view, label)).charts]
    return fill("curves", multiples=multiples) if multiples else None


def _multiple(view: View, label: str) -> Multiple:
    variants = [variant for variant in view.variants if variant.label == label]
    groups: dict[tuple[str, str], dict[str, Curve]] = {}
    # In the grid's order, whichever of a variant's cells failed.
    for record in chain.from_iterable(view.by_place.values()):
        if record.cell.label == label and (points := _points(view, record)):
            place, key = _place(view, record, fit=points[0].phase == "fit")
            # Cells that share a fit share its curve.
            groups.setdefault(place, {}).setdefault(key, _curve(record, points, variants))
    used = {curve.name for curves in groups.values() for curve in curves.values()}
    return Multiple(
        label,
        [variant.short if variant.short in used else "" for variant in variants],
        [draw(name, axis, list(curves.values())) for (name, axis), curves in groups.items()],
    )


def _points(view: View, record: Record) -> list[TracePoint]:
    """Return what can stand on a logarithmic axis: of the stylization, else of the fit."""
    points = [p for p in view.store.trace(record.cell.id) if _drawable(p.losses.get("total"))]
    stylize = [point for point in points if point.phase == "stylize"]
    shown = without_trials(stylize or points)
    return thin(shown) if len(shown) > 1 else []


def _drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def thin(points: Sequence[TracePoint]) -> list[TracePoint]:
    """Return at most about 200 of the points, first and last among them."""
    step = math.ceil(len(points) / MOST_POINTS)
    kept = list(points[::step])
    return kept if kept[-1] is points[-1] else [*kept, points[-1]]


def _place(view: View, record: Record, *, fit: bool) -> tuple[tuple[str, str], str]:
    """Return the chart's name and axis, and what tells the curve from others of its variant."""
    cell = record.cell
    size = f", {cell.size} px" if len(view.sizes) > 1 else ""
    if fit:
        return (f"{cell.style.name}{size}", "training steps"), cell.fit_id
    return (f"{cell.content.name} × {cell.style.name}{size}", "passes"), cell.id


def _curve(record: Record, points: list[TracePoint], variants: list[Variant]) -> Curve:
    names = [variant.name for variant in variants]
    index = names.index(record.cell.variant)
    return Curve(
        name=variants[index].short,
        index=index,
        points=[(point.index, point.losses["total"]) for point in points],
        note=f"seed {record.cell.seed}",
    )
