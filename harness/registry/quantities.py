"""What a column of the results measures: unit, direction, and how two values compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.records import Direction
from harness.registry.registry import METRICS

Comparison = Literal["difference", "ratio"]


@dataclass(frozen=True)
class Measure:
    """A score, or what a cell cost."""

    name: str
    unit: str
    better: Direction
    effect: Comparison  # how two levels compare: by difference, or by the mean of log ratios
    smallest: float  # effect of interest, in the unit or as a ratio


COSTS = {
    "stylize_seconds": Measure("stylize_seconds", "s", "lower", "ratio", 1.10),
    "fit_seconds": Measure("fit_seconds", "s", "lower", "ratio", 1.10),
    "pass_ms": Measure("pass_ms", "ms", "lower", "ratio", 1.10),
    "peak_mb": Measure("peak_mb", "MB", "lower", "ratio", 1.10),
    # Of the saved image, `objective_raw` of raw pixels. Both compare where the factor leaves the
    # objective as it is: an optimiser does, a weight does not.
    "objective": Measure("objective", "of its own", "lower", "ratio", 1.10),
    "objective_raw": Measure("objective_raw", "of its own", "lower", "ratio", 1.10),
}


def known(name: str) -> bool:
    """Tell whether a column is a cost or the score of a metric that is registered."""
    return name in COSTS or _metric(name) is not None


def measure(name: str) -> Measure:
    """Return what is known of a column; of a score whose metric is gone, its name alone."""
    if name in COSTS:
        return COSTS[name]
    metric = _metric(name)
    if metric is None:
        return Measure(name, "", "neither", "difference", 0.0)
    cls = METRICS.get(metric)
    return Measure(
        name,
        cls.unit,
        cls.better,
        cls.effect,
        cls.smallest,
    )


def _metric(name: str) -> str | None:
    """Return the metric that gives a score: `lpips` gives `lpips_alex`."""
    return max((m for m in METRICS if name == m or name.startswith(f"{m}_")), key=len, default=None)
