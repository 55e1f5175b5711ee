"""Shares of style, content and variant in the variance of scores.

Source: Yeh, Tang, Bhattad, Forsyth 2019 (arXiv 1910.09447): the style explains most of it, and
    experimenters can be misguided by the styles they select.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import comparable_costs
from harness.analysis.claims.pairing import contenders, values
from harness.analysis.statistics import complete, variance_shares
from harness.registry.quantities import measure


def shares(results: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """Return shares of variance, one row per metric; metrics that cannot be split have no row.

    Anchors are excluded, seeds are averaged, and metrics compared by ratio enter as logarithms. The
    shares of a metric add up to 1; with few styles they are rough estimates.
    """
    cells = contenders(results)
    rows = {name: _shares(cells, name) for name in metrics}
    return pd.DataFrame({name: row for name, row in rows.items() if row}).T


def _shares(cells: pd.DataFrame, name: str) -> dict[str, float]:
    qualifiers = {
        variant: comparable_costs.of_cells(own, name) for variant, own in cells.groupby("variant")
    }
    cells = cells[cells["variant"].isin(comparable_costs.ranked(qualifiers))]
    cells = cells.assign(value=values(cells, measure(name)))
    grid: Any = cells.pivot_table("value", "style", ["content", "variant"], sort=False)
    if grid.empty:
        return {}
    names = [grid.columns.get_level_values(level).unique() for level in (0, 1)]
    grid = grid.reindex(columns=pd.MultiIndex.from_product(names))
    table = grid.to_numpy().reshape(len(grid), len(names[0]), len(names[1]))
    _, styles, contents = complete(table.sum(-1))  # NaN if any variant is missing
    table = np.delete(np.delete(table, styles, 0), contents, 1)
    return variance_shares(table) if min(table.shape) > 1 else {}
