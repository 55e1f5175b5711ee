"""Decide which times and memory can be compared, and say why the others cannot.

Everything that ranks, compares or plots costs asks this module. A *qualifier* of a cost is
NOT_MEASURED, INCLUDES_START_UP, OF_PROGRAM, or an empty string.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from harness.records import Record

if TYPE_CHECKING:
    import pandas as pd

Key = TypeVar("Key", bound=Hashable)

TIMES = frozenset({"stylize_seconds", "fit_seconds", "pass_ms"})
COSTS = TIMES | {"peak_mb"}

NOT_MEASURED = "not measured"
INCLUDES_START_UP = "includes start-up"
OF_PROGRAM = "of the program alone"
EXPLANATIONS = {
    NOT_MEASURED: "Not measured: the images were made before.",
    INCLUDES_START_UP: "Includes start-up: a program starts and loads its weights for each image. "
    "Such times are not ranked with those of a stylization alone.",
    OF_PROGRAM: "The memory of the program alone. That of other variants includes nstbench and its "
    "metrics, so the two are not ranked with each other.",
}

COLUMN = "timed"
"""The column of the results with `Record.timed`."""

_QUALIFIERS = {"nothing": NOT_MEASURED, "stylization and start-up": INCLUDES_START_UP}


def qualifier(record: Record, cost: str = "stylize_seconds") -> str:
    """Return the qualifier of a cost of a record."""
    return _qualifier(record.timed, cost)


def of_cells(cells: pd.DataFrame, cost: str) -> str:
    """Return the qualifier of a cost of the finished cells of one variant or level.

    Args:
        cells: Rows as `harness.analysis.table.frame` makes them.
        cost: A column; scores have no qualifiers.
    """
    if cost not in COSTS or COLUMN not in cells:
        return ""
    found = {_qualifier(value, cost) for value in cells[COLUMN].dropna().unique()}
    if cost == "peak_mb" and "program" in set(cells.get("peak_of", ())):  # absent if all failed
        return OF_PROGRAM
    # Cells without a time are left out of a mean; one time with start-up changes it.
    return next((one for one in (INCLUDES_START_UP, "") if one in found), max(found, default=""))


def ranked(qualifiers: Mapping[Key, str]) -> set[Key]:
    """Return the keys whose costs are ranked with each other.

    Times that include start-up, and the memory of programs, are ranked only if there are no others.
    """
    measured = {key: value for key, value in qualifiers.items() if value != NOT_MEASURED}
    common = "" if "" in measured.values() else max(measured.values(), default="")
    return {key for key, value in measured.items() if value == common}


def why_not_comparable(levels: Iterable[pd.DataFrame], cost: str) -> str:
    """Return why a cost of the cells of several levels cannot be compared; empty if it can."""
    if cost not in COSTS:
        return ""
    finished = (cells[cells["status"] == "done"] for cells in levels)
    found = {of_cells(cells, cost) for cells in finished if len(cells)}
    if NOT_MEASURED in found:
        return NOT_MEASURED
    return f"{max(found)} at one level only" if len(found) > 1 else ""


def _qualifier(timed: str, cost: str) -> str:
    found = _QUALIFIERS.get(timed, "")
    return found if cost in (TIMES if found == INCLUDES_START_UP else COSTS) else ""
