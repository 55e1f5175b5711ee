"""Adjusted p-values: of the primary claims of one study, and of whatever else was looked at."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """Return p adjusted so that all claims together err with 5 % at most (Holm 1979).

    The smallest is multiplied by n, the next by n - 1, and so on; none falls below one before it.

    Raises:
        ValueError: Where one is not a number between 0 and 1.
    """
    if not all(0 <= one <= 1 for one in p):
        raise ValueError(f"not all are between 0 and 1: {list(p)}")
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Return p adjusted so that 5 % of what is found is false (Benjamini & Hochberg 1995).

    Raises:
        ValueError: Where one is not a number between 0 and 1.
    """
    from scipy.stats import false_discovery_control  # half a second, for exploratory metrics only

    return [float(one) for one in false_discovery_control(list(p), method="bh")]
