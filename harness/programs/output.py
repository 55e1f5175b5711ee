"""The end of what a program printed, as text for a record."""

from __future__ import annotations

import re

from harness.errors import ProgramError

MAX_LINES, MAX_LINE_LENGTH = 10, 200
"""Of the output that a message quotes."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[^\t -~\xa0-\ud7ff\ue000-\U0010ffff]")


def last_lines(output: str, count: int = MAX_LINES) -> list[str]:
    """Return the last lines that are not empty; a progress bar is one line for each update."""
    lines = (_ESCAPES.sub("", line).strip() for line in re.split(r"[\r\n]+", output))
    return [_cut(line) for line in lines if line][-count:]


def output_error(what: str, output: str) -> ProgramError:
    """Return the error of a program whose result cannot be used, with its last lines."""
    return ProgramError(what + quote_output(output))


def quote_output(output: str) -> str:
    """Return the last lines of a program, to be appended to a message."""
    lines = last_lines(output)
    return "\nIts last lines:\n" + "\n".join(lines) if lines else " It printed nothing."


def _cut(line: str) -> str:
    return line if len(line) <= MAX_LINE_LENGTH else f"{line[:MAX_LINE_LENGTH]}…"
