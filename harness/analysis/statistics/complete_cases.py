"""Complete-case analysis: tables with missing cells are reduced, never filled in."""

from __future__ import annotations

import numpy as np

from harness.analysis.statistics.anova import Array


def complete(d: Array) -> tuple[Array, list[int], list[int]]:
    """Drop whole styles (rows) or contents (columns) until no cell is NaN.

    Drops the one with the largest share of missing cells first; contents before styles if shares
    are equal, since studies have fewer styles. A level benefits from dropping what it failed on,
    so callers should report what was dropped.

    Returns:
        The remaining table, which may be empty, and the indices of dropped rows and columns of `d`.
    """
    rows, columns = list(range(d.shape[0])), list(range(d.shape[1]))
    while (missing := np.isnan(d[np.ix_(rows, columns)])).any():
        of_rows, of_columns = missing.mean(1), missing.mean(0)
        if of_rows.max() > of_columns.max():
            del rows[int(of_rows.argmax())]
        else:
            del columns[int(of_columns.argmax())]
    dropped_rows = [row for row in range(d.shape[0]) if row not in rows]
    dropped_columns = [column for column in range(d.shape[1]) if column not in columns]
    return d[np.ix_(rows, columns)], dropped_rows, dropped_columns
