"""The mean of tables whose rows and columns are both random samples, and its uncertainty.

A difference is d[s, c] = mean + style[s] + content[c] + rest[s, c], all three random. Its mean
over S x C blocks has variance style / S + content / C + rest / (S C), more than the variance
of the blocks over S C: blocks that share a style or a content are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from harness.analysis.statistics.anova import Array, Factors, MeanSquare, mean_squares

CONFIDENCE, POWER = 0.95, 0.80
STYLE, CONTENT = ("style",), ("content",)
FACTORS = REST = STYLE + CONTENT  # the residual is the interaction of both


@dataclass(frozen=True)
class Crossed:
    """The mean of each table of a stack (..., styles, contents); all arrays are (...)."""

    mean: Array
    standard_error: Array
    df: Array  # Satterthwaite's
    squares: Mapping[Factors, MeanSquare]

    def interval(self, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
        """Return the confidence limits of the mean over all styles and contents."""
        half = _quantile(self.df, confidence) * self.standard_error
        return self.mean - half, self.mean + half

    def p(self) -> Array:
        """Return the two-sided p of a mean of zero; without variance it is 1 at zero, else 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.mean) / self.standard_error
        p: Array = np.where(self.mean == 0, 1.0, 2 * special.stdtr(self.df, -t))
        return p

    def style_sd(self) -> Array:
        """Return the standard deviation of style means."""
        sd: Array = np.sqrt(self.squares[STYLE].value / self.squares[STYLE].repeats)
        return sd

    def styles_differ_p(self) -> Array:
        """Return the p of an exact F-test that styles do not differ beyond chance."""
        style, rest = self.squares[STYLE], self.squares[REST]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = style.value / rest.value
        p: Array = np.where(style.value == 0, 1.0, special.fdtrc(style.df, rest.df, ratio))
        return p

    def new_style(self, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
        """Return the prediction interval of the mean of one more style on these contents.

        Exact for normal styles with any components, since the new mean and the S others are
        exchangeable. It includes measurement noise, which more contents or seeds reduce. An
        interval without it would use the style component, a difference of mean squares that is
        often set to zero, and a nominal 95 % would cover 87 %.
        """
        df = self.squares[STYLE].df
        half = _quantile(df, confidence) * self.style_sd() * np.sqrt(1 + 1 / (df + 1))
        return self.mean - half, self.mean + half

    def detectable(self) -> Array:
        """Return the effect that the t-test of this design detects with 80 % power.

        Computed from the noncentral t, without the other tail, which is negligible. It is an
        estimate, since the standard error comes from the same few styles.
        """
        critical = _quantile(self.df, CONFIDENCE)
        detectable: Array = self.standard_error * special.nctdtrinc(self.df, 1 - POWER, critical)
        return detectable


def crossed(tables: Array) -> Crossed:
    """Analyse a stack of tables (..., styles, contents).

    The variance of the mean is the sum of its components, each at least zero. It is
    (MS_S + MS_C - MS_SC) / (S C) if both styles and contents vary by more than the residual;
    otherwise the mean square of the one that does not drops out. Degrees of freedom are from
    Satterthwaite (1946), at least the smaller of S - 1 and C - 1, below which that approximation
    is wrong.

    Raises:
        ValueError: There are fewer than two styles or contents.
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
    """Return the half-width of a two-sided interval in standard errors."""
    quantile: Array = special.stdtrit(df, (1 + confidence) / 2)
    return quantile
