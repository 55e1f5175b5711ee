"""Claims that a plan cannot test, found before any cell runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis import table
from harness.analysis.claims.pairing import chosen, pairs
from harness.records import RECIPES, Cell, Claim


def impossible(claims: Iterable[Claim], cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Return id and reason of each claim that no two cells can test.

    A profile may leave a level out; then the claim is merely not tested. If both levels are
    planned, there have to be cells that differ in nothing but the factor.
    """
    planned = table.frame([table.planned(cell) for cell in cells])
    problems = []
    for claim in claims:
        sides = chosen(planned, claim)
        if sides.empty or sides["side0"].nunique() < 2 or claim.factor in RECIPES:
            continue
        if pairs(sides, claim).empty:
            levels = f"{claim.factor} {claim.levels[0]} and {claim.levels[1]}"
            problems.append(
                (claim.id, f"no cells of {claim.method} with {levels} agree in all else")
            )
    return problems
