"""What can be said without normality: signs that flip, blocks that are drawn again."""

from __future__ import annotations

import numpy as np

from harness.analysis.statistics.anova import Array

SEED = 20070401  # of Owen's paper; any will do, but the same one every time
EXACT, DRAWS = 14, 2000
"""Up to so many means all 2^n signs are tried; so many tables are drawn for an interval."""

MIN_STYLES = 8
"""With fewer, two-way bootstrap intervals of a nominal 95 % hold in 88 % of cases at four."""


def flip_p(table: Array) -> float:
    """Return the p of a mean of zero from flipped signs: of style means or content means.

    The larger of the two. Flipping styles alone takes the contents for fixed: where contents vary
    most, 5 % then rejects a true zero half of the time. The larger is a check too, no test of that
    size: where both vary alike, each sees half of the variance, and 5 % rejects in 10 % of 12 x 10
    tables. Its floor is 2^(1 - n) for the smaller number n of styles or contents.
    """
    return max(_flip_p(table.mean(1)), _flip_p(table.mean(0)))


def _flip_p(means: Array) -> float:
    sums = np.abs(_signs(len(means)) @ means)
    tied = (1 - 1e-9) * abs(means.sum())  # sums of the same numbers, in another order
    return float(np.mean(sums >= tied))


def _signs(n: int) -> Array:
    """Return all sign vectors, or a sample in which the observed one is counted, as (2^k, n)."""
    if n <= EXACT:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(SEED).integers(0, 2, (2**EXACT, n))
        bits[0] = 0
    return np.where(bits, -1.0, 1.0)


def share(differences: Array, direction: int) -> float:
    """Return how many have the sign of `direction`, as a share; zeros count half."""
    return float(_wins(differences, direction).mean())


def share_interval(table: Array, direction: int) -> tuple[float, float] | None:
    """Return the 95 % two-way percentile bootstrap interval of `share`; None below 8 styles.

    Styles and contents are drawn apart (the pigeonhole bootstrap, Owen 2007). Where all blocks
    agree no draw can disagree; then the limit is what min(S, C) blocks that share neither style
    nor content can say: all n agree with probability share^n, which is 2.5 % at 0.025^(1 / n).
    """
    wins, (styles, contents) = _wins(table, direction), table.shape
    if styles < MIN_STYLES:
        return None
    unseen = 0.025 ** (1 / min(styles, contents))
    if wins.min() == wins.max() != 0.5:
        return (unseen, 1.0) if wins.max() == 1 else (0.0, 1 - unseen)
    random = np.random.default_rng(SEED)
    rows = random.multinomial(styles, np.full(styles, 1 / styles), DRAWS) / styles
    columns = random.multinomial(contents, np.full(contents, 1 / contents), DRAWS) / contents
    low, high = np.quantile((rows @ wins * columns).sum(1), (0.025, 0.975))
    return float(low), float(high)


def _wins(differences: Array, direction: int) -> Array:
    wins: Array = (1 + np.sign(direction * differences)) / 2
    return wins
