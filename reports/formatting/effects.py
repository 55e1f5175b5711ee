"""Format effects and verdicts for all panels of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.claims import ClaimRow, export
from harness.analysis.claims.export import GLYPHS, glyph
from reports.formatting.numbers import NONE, number

FINDINGS = {
    "✓": "better",
    "✗": "worse",
    "≠": "differs, neither better nor worse",
    "=": "no relevant difference",
    "?": "inconclusive",
}
"""Meanings of the signs of exploratory comparisons, which all test for `better`."""


@dataclass(frozen=True)
class Verdict:
    """A verdict as a sign and a word, with its qualifiers and CSS class."""

    glyph: str
    word: str
    qualifiers: str  # "small, style-dependent"
    kind: str

    @classmethod
    def of(cls, row: ClaimRow) -> Verdict:
        """Parse the verdict of a row."""
        word, *qualifiers = row.verdict.replace(")", "").split(" (")
        kind = word if word in GLYPHS else "none"  # other verdicts have no effect
        return cls(glyph(row), word, ", ".join(qualifiers), kind)


def amount(value: float | None, unit: str, *, signed: bool = False, bare: bool = False) -> str:
    """Format an effect: `19.0 dB`, without the unit if `bare`; a ratio is always `×1.42`."""
    if value is None:
        return NONE
    if unit == "×":
        return f"×{number(value)}"
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{number(value)}{'' if bare or not unit else f' {unit}'}"


def means(row: ClaimRow) -> str:
    """Format the means of the metric at both levels: `19.0 → 1.72`."""
    first, second = row.level_means or (None, None)
    return f"{number(first)} → {number(second)}"


def finding(row: ClaimRow) -> str:
    """Describe the result of an exploratory comparison."""
    return FINDINGS.get(sign(row), "no verdict")


def sign(row: ClaimRow) -> str:
    """Return the sign of an exploratory comparison."""
    if row.verdict.startswith("contradicted") and row.predicted_sign == "none":
        return "≠"
    return glyph(row)


def interval(low: float | None, high: float | None) -> str:
    """Format `[−20.1, −14.4]`; an empty string if there is no interval."""
    return "" if low is None else f"[{number(low)}, {number(high)}]"


def size(row: ClaimRow) -> str:
    """Format n as styles × contents × seeds, or as a number of selected pairs."""
    return export.size(row, times=" × ")


def p_value(value: float | None) -> str:
    """Format a p value with two digits, or `< 0.001`."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def conditions(values: Mapping[str, Any]) -> str:
    """Format the conditions of a verdict: `256 px, encoder vgg19, ...`."""
    return ", ".join(_condition(name, value) for name, value in values.items())


def _condition(name: str, value: Any) -> str:
    if name == "budget":
        return str(value)
    return f"{value} px" if name == "size" else f"{name} {value}"


class Footnotes:
    """Unique texts, numbered in order of first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> int:
        """Return the number of a text, adding it if it is new."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1
