"""Format the rows of claims as Markdown, CSV, LaTeX and JSON, and single cells as text."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from harness.analysis.claims.rows import ClaimRow

if TYPE_CHECKING:
    import pandas as pd

HEADINGS = (
    "claim",
    "factor",
    "metric",
    "n",
    "first",
    "second",
    "effect [95 %]",
    "p adj",
    "verdict",
)
GLYPHS = {
    "supported": "✓",
    "equivalent": "=",
    "contradicted": "✗",
    "inconclusive": "?",
    "illustration": "·",
}

CIRCULAR = "◦ circular: computed with the network whose loss the method minimises"


def number(value: float | None) -> str:
    """Return a number with three significant digits, and None as a dash."""
    if value is None:
        return "–"
    return f"{value:.3g}" if value == 0 or abs(value) < 1000 else f"{value:.0f}"


def interval(row: ClaimRow) -> str:
    """Return an effect as `+0.31 [0.22, 0.40]`, or a ratio as `×1.42 [1.31, 1.54]`."""
    if row.estimate is None:
        return "–"
    ratio = row.unit == "×"
    shown = f"×{number(row.estimate)}" if ratio else f"{row.estimate:+.3g}"
    unit = f" {row.unit}" if row.unit and not ratio else ""
    if row.ci_lo is None:
        return shown + unit
    return f"{shown} [{number(row.ci_lo)}, {number(row.ci_hi)}]{unit}"


def size(row: ClaimRow, times: str = "×") -> str:
    """Return n as styles x contents x seeds, or as a number of pairs if those are not crossed."""
    if row.n_pair:
        return f"{row.n_pair} pair{'s' * (row.n_pair > 1)}"
    counts = (row.n_style, row.n_content, row.n_seed)
    return times.join(map(str, counts)) if row.n_style else "–"


def glyph(row: ClaimRow) -> str:
    """Return a symbol for a verdict, to show before its words."""
    return GLYPHS.get(row.verdict.split(" ")[0], "–")


def cells(row: ClaimRow) -> tuple[str, ...]:
    """Return the cells of a row, in the order of HEADINGS."""
    first, second = row.level_means or (None, None)
    return (
        row.claim_id,
        row.factors,
        row.metric + (" ◦" if row.circular else ""),
        size(row),
        number(first),
        number(second),
        interval(row),
        number(row.p_adj),
        f"{glyph(row)} {row.verdict}",
    )


def markdown(rows: Sequence[ClaimRow]) -> str:
    """Return a Markdown table with footnotes."""
    text = _markdown_table(HEADINGS, map(cells, rows))
    notes = "\n".join(f"- {_escape_markdown(line)}" for line in footnotes(rows))
    return "\n\n".join(filter(None, (text, notes)))


def latex(rows: Sequence[ClaimRow]) -> str:
    """Return a LaTeX tabular; it needs the package booktabs."""
    tabular = _latex_tabular("lll" + "r" * (len(HEADINGS) - 4) + "l", HEADINGS, map(cells, rows))
    return "\n".join([tabular, *(f"% {_escape_tex(line)}" for line in footnotes(rows))])


def comma_separated(rows: Sequence[ClaimRow]) -> str:
    """Return all fields of all rows as CSV, with maps and lists as JSON."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [f.name for f in fields(ClaimRow)]
    writer.writerow(names)
    for row in rows:
        writer.writerow([_csv_value(value) for value in asdict(row).values()])
    return buffer.getvalue().rstrip("\n")


def as_json(rows: Sequence[ClaimRow]) -> str:
    """Return all fields of all rows as JSON."""
    return json.dumps([asdict(row) for row in rows], indent=1)


def shares_as(form: str, shares: pd.DataFrame) -> str:
    """Return shares of variance as numbers in CSV and JSON, and as percentages otherwise."""
    if form == "json":
        return str(shares.to_json(orient="index", indent=1))
    if form == "csv":
        return str(shares.to_csv(index_label="score", lineterminator="\n")).rstrip("\n")
    percentages = shares.map("{:.0%}".format)
    if form == "table":
        return str(percentages.to_string())
    head, body = ("score", *shares), percentages.itertuples(name=None)
    if form == "markdown":
        return _markdown_table(head, body)
    return _latex_tabular("l" + "r" * len(shares.columns), head, body)


def footnotes(rows: Sequence[ClaimRow]) -> list[str]:
    """Return the conditions of the rows, and each note with the claims that have it."""
    claims: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            claims.setdefault(note, []).append(
                row.claim_id if row.primary else f"{row.claim_id} by {row.metric}"
            )
    lines = [f"{note} ({', '.join(_without_repeats(ids))})" for note, ids in claims.items()]
    conditions = dict.fromkeys(
        _describe_conditions(row.circumstances) for row in rows if row.conditions
    )
    circular = [CIRCULAR] * any(row.circular for row in rows)
    return [*(f"conditions: {text}" for text in conditions), *circular, *lines]


def _without_repeats(ids: Sequence[str]) -> list[str]:
    """Drop the secondary metrics of a claim if its own metric has the same note."""
    return [
        one for one in dict.fromkeys(ids) if one.split(" by ")[0] not in ids or " by " not in one
    ]


FORMATS: dict[str, Callable[[Sequence[ClaimRow]], str]] = {
    "markdown": markdown,
    "csv": comma_separated,
    "latex": latex,
    "json": as_json,
}


def _describe_conditions(conditions: Any) -> str:
    return ", ".join(f"{v} px" if name == "size" else f"{v}" for name, v in conditions.items())


def _markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *body]
    return "\n".join("| " + " | ".join(map(_escape_markdown, line)) + " |" for line in lines)


def _latex_tabular(columns: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    first, *rest = (" & ".join(map(_escape_tex, line)) + r" \\" for line in (head, *body))
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"\toprule", first, r"\midrule", *rest,
                      r"\bottomrule", r"\end{tabular}"])  # fmt: skip


def _escape_markdown(text: str) -> str:
    return text.replace("|", r"\|").replace("<", "&lt;").replace("\n", " ")


def _csv_value(value: Any) -> Any:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else value


_TEX = str.maketrans({
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#",
    "×": r"$\times$", "→": r"$\to$", "✓": r"$\surd$", "✗": r"$\times$", "◦": r"$\circ$",
    "·": r"$\cdot$", "–": "--", "\n": " ",
})  # fmt: skip


def _escape_tex(text: str) -> str:
    return text.translate(_TEX)
