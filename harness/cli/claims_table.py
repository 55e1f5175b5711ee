"""Claims in the terminal: a row each, verdicts in colour, what they hold under below."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.claims.export import HEADINGS, cells, footnotes
from harness.analysis.claims.rows import ClaimRow

COLORS = {"supported": "green", "equivalent": "cyan", "contradicted": "red"}
NUMBERS = ("n", "first", "second", "p adj")


def show(console: Console, rows: Sequence[ClaimRow]) -> None:
    """Print the rows, and the notes that qualify them."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for heading in HEADINGS:
        right = heading in NUMBERS
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for before, row in zip((None, *rows), rows, strict=False):
        *facts, said = cells(row)
        if before and (before.claim_id, before.factors) == (row.claim_id, row.factors):
            facts[:2] = "", ""
        style = "" if row.primary else "dim"
        color = COLORS.get(row.verdict.split(" ")[0], "yellow")
        table.add_row(*(Text(fact, style) for fact in facts), Text(said, color))
    console.print(table)
    for note in footnotes(rows):
        console.print(Text(f"  {note}", "dim"))
