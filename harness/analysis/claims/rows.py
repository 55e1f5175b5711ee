"""The verdict on a claim as a row of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.analysis.table import plain
from harness.records import Claim, Control, Direction, Sign


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One claim under one set of conditions, by one metric; effects are of the second level."""

    claim_id: str
    statement: str
    source: str
    factors: str  # "norm: batch -> instance"
    predicted_sign: Sign
    metric: str
    primary: bool  # by the claim's own metric; secondary metrics do not decide
    unit: str  # of the estimate: the metric's, or "x" for a ratio
    better: Direction
    smallest: float  # effect of interest, in the same unit
    verdict: str
    n_style: int = 0
    n_content: int = 0
    n_seed: int = 0
    n_pair: int = 0  # if styles and contents were not crossed; there is no interval then
    level_means: tuple[float, float] | None = None  # of the metric, at the first and second level
    estimate: float | None = None
    ci_lo: float | None = None
    ci_hi: float | None = None
    p: float | None = None
    p_adj: float | None = None  # Holm over the primary rows, Benjamini-Hochberg over the others
    permutation_p: float | None = None
    d_z: float | None = None
    p_better: float | None = None  # share of blocks with the predicted sign
    heterogeneity: float | None = None  # share of styles with the predicted sign
    new_style_lo: float | None = None
    new_style_hi: float | None = None
    detectable: float | None = None  # with 80 % power, in the unit of the estimate
    failed: tuple[int, int] = (0, 0)
    circular: bool = False  # computed with the network whose loss the method minimises
    control: Control = ""
    conditions: Mapping[str, Any] = field(default_factory=dict)
    budget: float | None = None  # passes of the encoder, or steps, if both levels had the same
    notes: tuple[str, ...] = ()

    @property
    def circumstances(self) -> dict[str, Any]:
        """All conditions of the verdict, the budget included."""
        budget = {"budget": f"{self.budget} passes or steps"} if self.budget else {}
        return {**self.conditions, **budget}


def describe_factors(claim: Claim) -> str:
    """Return what differs, and what an interaction is across: `tv_weight: 0 → 5, across ...`."""
    text = _describe_step(claim.factor, claim.levels)
    across = [_describe_step(name, levels) for name, levels in claim.across.items()]
    held = [f"{name} {plain(value)}" for name, value in claim.where.items()]
    text += f", across {', '.join(across)}" if across else ""
    return text + (f" (at {', '.join(held)})" if held else "")


def _describe_step(factor: str, levels: tuple[Any, Any]) -> str:
    return f"{factor}: {plain(levels[0])} → {plain(levels[1])}"
