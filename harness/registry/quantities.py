"""Units, directions and comparisons of scores and costs, by column of the results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.records import Direction
from harness.registry.registry import METRICS

Comparison = Literal["difference", "ratio"]


@dataclass(frozen=True)
class Measure:
    """A score or a cost."""

    name: str
    unit: str
    better: Direction
    effect: Comparison  # of two levels: mean difference, or mean log ratio
    smallest: float  # smallest effect of interest, in `unit` or as a ratio


COSTS = {
    "stylize_seconds": Measure("stylize_seconds", "s", "lower", "ratio", 1.10),
    "fit_seconds": Measure("fit_seconds", "s", "lower", "ratio", 1.10),
    "pass_ms": Measure("pass_ms", "ms", "lower", "ratio", 1.10),
    "peak_mb": Measure("peak_mb", "MB", "lower", "ratio", 1.10),
    # `objective` is evaluated on the saved image, `objective_raw` on raw pixels. Levels are
    # comparable if the factor does not change the objective: an optimizer, but not a weight.
    "objective": Measure("objective", "arbitrary", "lower", "ratio", 1.10),
    "objective_raw": Measure("objective_raw", "arbitrary", "lower", "ratio", 1.10),
}


def known(name: str) -> bool:
    """Return whether a column is a cost or the score of a registered metric."""
    return name in COSTS or _metric(name) is not None


def measure(name: str) -> Measure:
    """Return the properties of a column; only the name if its metric is not registered."""
    if name in COSTS:
        return COSTS[name]
    metric = _metric(name)
    if metric is None:
        return Measure(name, "", "neither", "difference", 0.0)
    cls = METRICS.get(metric)
    return Measure(name, cls.unit, cls.better, cls.effect, cls.smallest)


def _metric(name: str) -> str | None:
    """Return the metric of a score, for example `lpips` for `lpips_alex`."""
    return max((m for m in METRICS if name == m or name.startswith(f"{m}_")), key=len, default=None)
