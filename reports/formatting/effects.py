"""How an effect and its verdict are written, wherever they stand on the page."""

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
    "=": "no difference that matters",
    "?": "cannot be told",
}
"""What the signs of comparisons mean that nobody made a claim of: `better` is what they ask."""


@dataclass(frozen=True)
class Verdict:
    """A verdict in words, with the sign that stands before them and what its look depends on."""

    glyph: str
    word: str
    more: str  # "small, style-dependent"
    kind: str

    @classmethod
    def of(cls, row: ClaimRow) -> Verdict:
        """Take a row's verdict apart."""
        word, *more = row.verdict.replace(")", "").split(" (")
        kind = word if word in GLYPHS else "none"  # others come without an effect
        return cls(glyph(row), word, ", ".join(more), kind)


def amount(value: float | None, unit: str, *, signed: bool = False, bare: bool = False) -> str:
    """Write `19.0 dB`, bare of its unit where that stands above; a ratio is always `×1.42`."""
    if value is None:
        return NONE
    if unit == "×":
        return f"×{number(value)}"
    sign = "+" if signed and value > 0 else ""
    return f"{sign}{number(value)}{'' if bare or not unit else f' {unit}'}"


def means(row: ClaimRow) -> str:
    """Write the metric at either level: `19.0 → 1.72`."""
    first, second = row.level_means or (None, None)
    return f"{number(first)} → {number(second)}"


def finding(row: ClaimRow) -> str:
    """Say what a comparison found that nobody predicted."""
    return FINDINGS.get(sign(row), "not judged")


def sign(row: ClaimRow) -> str:
    """Return the sign of what a comparison found."""
    if row.verdict.startswith("contradicted") and row.predicted_sign == "none":
        return "≠"
    return glyph(row)


def interval(low: float | None, high: float | None) -> str:
    """Write `[−20.1, −14.4]`, or nothing where there is none."""
    return "" if low is None else f"[{number(low)}, {number(high)}]"


def size(row: ClaimRow) -> str:
    """Write n as styles × contents × seeds, or as pairs that were picked."""
    return export.size(row, times=" × ")


def p_value(value: float | None) -> str:
    """Write a p to two digits; below one in a thousand it says no more than that."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def conditions(held: Mapping[str, Any]) -> str:
    """Write what a verdict holds under: `256 px, encoder vgg19, ...`."""
    return ", ".join(_condition(name, value) for name, value in held.items())


def _condition(name: str, value: Any) -> str:
    if name == "budget":
        return str(value)
    return f"{value} px" if name == "size" else f"{name} {value}"
