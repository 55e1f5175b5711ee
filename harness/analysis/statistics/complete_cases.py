"""Tables with holes: the analysis is of complete ones, and nothing is filled in."""

from __future__ import annotations

import numpy as np

from harness.analysis.statistics.anova import Array


def complete(d: Array) -> tuple[Array, list[int], list[int]]:
    """Drop whole styles (rows) or contents (columns) until no cell is NaN.

    One after the other, whichever holds the largest share of missing cells; contents go first
    where shares are equal, for styles are what there is too little of. What is dropped because
    a level failed on it flatters that level: tell the reader which.

    Returns:
        The rest, perhaps empty, and the indices in `d` of rows and of columns that are not in it.
    """
    rows, columns = list(range(d.shape[0])), list(range(d.shape[1]))
    while (holes := np.isnan(d[np.ix_(rows, columns)])).any():
        of_rows, of_columns = holes.mean(1), holes.mean(0)
        if of_rows.max() > of_columns.max():
            del rows[int(of_rows.argmax())]
        else:
            del columns[int(of_columns.argmax())]
    dropped_rows = [row for row in range(d.shape[0]) if row not in rows]
    dropped_columns = [column for column in range(d.shape[1]) if column not in columns]
    return d[np.ix_(rows, columns)], dropped_rows, dropped_columns
