"""Adjusted p-values: of the primary claims of a study, and of its secondary metrics."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the family-wise error rate (Holm 1979).

    The smallest is multiplied by n, the next by n - 1, and so on, without decreasing.

    Raises:
        ValueError: A value is not between 0 and 1.
    """
    if not all(0 <= one <= 1 for one in p):
        raise ValueError(f"p-values must be between 0 and 1, not {list(p)}")
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, index in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        highest = max(highest, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = highest
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the false discovery rate (Benjamini & Hochberg 1995).

    Raises:
        ValueError: A value is not between 0 and 1.
    """
    from scipy.stats import (
        false_discovery_control,
    )  # takes half a second, needed for secondary metrics only

    return [float(one) for one in false_discovery_control(list(p), method="bh")]
