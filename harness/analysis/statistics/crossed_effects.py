"""The mean of tables whose rows and columns are both samples: how far it may be trusted.

A difference is d[s, c] = mean + style[s] + content[c] + rest[s, c], all three random. Its mean
over S x C blocks has variance style / S + content / C + rest / (S C), far more than the blocks'
own spread over S C: blocks that share a style or a content are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.analysis.statistics.anova import Array, Factors, MeanSquare, mean_squares

CONFIDENCE, POWER = 0.95, 0.80
STYLE, CONTENT = ("style",), ("content",)
FACTORS = REST = STYLE + CONTENT  # what both do together is all that is left


@dataclass(frozen=True)
class Crossed:
    """The mean of each table of a stack (..., styles, contents); all arrays are (...)."""

    mean: Array
    standard_error: Array
    df: Array  # Satterthwaite's
    squares: Mapping[Factors, MeanSquare]

    def interval(self, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
        """Return the limits of the mean over all styles and contents there might be."""
        half = _quantile(self.df, confidence) * self.standard_error
        return self.mean - half, self.mean + half

    def p(self) -> Array:
        """Return the two-sided p of a mean of zero; without any spread it is 1 at zero, else 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.mean) / self.standard_error
        p: Array = np.where(self.mean == 0, 1.0, 2 * special.stdtr(self.df, -t))
        return p

    def style_sd(self) -> Array:
        """Return the standard deviation of style means."""
        sd: Array = np.sqrt(self.squares[STYLE].value / self.squares[STYLE].repeats)
        return sd

    def styles_differ_p(self) -> Array:
        """Return the p of styles that differ no more than blocks do by chance (an exact F-test)."""
        style, rest = self.squares[STYLE], self.squares[REST]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = style.value / rest.value
        p: Array = np.where(style.value == 0, 1.0, special.fdtrc(style.df, rest.df, ratio))
        return p

    def new_style(self, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
        """Return where the mean of one more style would be found, measured on these contents.

        Exact for normal styles, whatever the components are: the new mean and the S old ones are
        exchangeable. It includes the noise of measuring one, which more contents or seeds reduce.
        Without that noise the interval would rest on the style component, which is a difference of
        mean squares and often cut off at zero: a nominal 95 % then holds in 87 %.
        """
        df = self.squares[STYLE].df
        half = _quantile(df, confidence) * self.style_sd() * np.sqrt(1 + 1 / (df + 1))
        return self.mean - half, self.mean + half

    def detectable(self) -> Array:
        """Return the effect that the t-test of such a design finds with 80 % power.

        From the noncentral t (the other tail is nothing at such power). It is an estimate itself:
        the standard error comes from the same few styles.
        """
        critical = _quantile(self.df, CONFIDENCE)
        found: Array = self.standard_error * special.nctdtrinc(self.df, 1 - POWER, critical)
        return found


def crossed(tables: Array) -> Crossed:
    """Analyse a stack of tables (..., styles, contents).

    The variance of the mean is the sum of its components, each at least zero: MS_S + MS_C - MS_SC
    over S C where both styles and contents vary by more than the rest, and a mean square less
    where one does not. Satterthwaite (1946) gives the degrees of freedom of the mean squares that
    count; fewer than the smaller of S - 1 and C - 1 are a fault of that approximation.

    Raises:
        ValueError: Where there are fewer than two styles or contents.
    """
    squares = mean_squares(tables, FACTORS)
    style, content, rest = squares[STYLE], squares[CONTENT], squares[REST]
    styles_vary = np.where(style.value > rest.value, 1.0, 0.0)
    contents_vary = np.where(content.value > rest.value, 1.0, 0.0)
    weights = styles_vary, contents_vary, 1 - styles_vary - contents_vary
    terms = [w * s.value for w, s in zip(weights, (style, content, rest), strict=True)]
    total = np.asarray(sum(terms))
    spread = np.asarray(sum(t**2 / s.df for t, s in zip(terms, squares.values(), strict=True)))
    least = np.full(total.shape, float(min(style.df, content.df)))
    df = np.divide(total**2, spread, out=least.copy(), where=spread > 0)
    error = np.sqrt(total / (style.repeats * content.repeats))
    return Crossed(tables.mean((-2, -1)), error, np.maximum(df, least), squares)


def _quantile(df: Array | int, confidence: float) -> Array:
    """Return how many standard errors a two-sided interval reaches."""
    quantile: Array = special.stdtrit(df, (1 + confidence) / 2)
    return quantile
