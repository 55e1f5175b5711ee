"""What is wrong with a claim, found before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis import table
from harness.analysis.claims.pairing import chosen, pairs
from harness.records import RECIPES, Cell, Claim


def impossible(claims: Iterable[Claim], cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Return the claims that no two cells could test, each with the reason.

    A level that a profile leaves out is no mistake: the claim is not tested there. Where both
    levels are, there must be cells that differ in the factor and in nothing else.
    """
    planned = table.frame([table.planned(cell) for cell in cells])
    found = []
    for claim in claims:
        sides = chosen(planned, claim)
        if sides.empty or sides["side0"].nunique() < 2 or claim.factor in RECIPES:
            continue
        if pairs(sides, claim).empty:
            levels = f"{claim.factor} {claim.levels[0]} and {claim.levels[1]}"
            found.append((claim.id, f"no cells of {claim.method} with {levels} agree in all else"))
    return found
