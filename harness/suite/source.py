"""Where each value of a suite was written: file, line and column, or a `--set` option."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from harness.errors import Problem

Key = tuple[str | int, ...]
"""Path to a value: ("methods", "gatys", "axes", "optimizer", 1)."""

Mark = tuple[int, int]
"""Line and column, both counted from 0."""

MAX_EXCERPT_LENGTH = 160
"""Characters of a source line that an error message shows."""


@dataclass
class Source:
    """Positions of the values and keys of one file."""

    name: str
    lines: list[str] = field(default_factory=list)
    values: dict[Key, Mark] = field(default_factory=dict)
    keys: dict[Key, Mark] = field(default_factory=dict)
    options: dict[Key, str] = field(default_factory=dict)  # value -> the option that set it
    moved: dict[Key, Key] = field(default_factory=dict)  # value -> its path inside a profile

    def problem(self, key: Key, what: str, *, at_key: bool = False) -> Problem:
        """Return a problem at the position of the value at `key`, or of the key itself.

        A value that is not in the file gets the position of its nearest parent.
        """
        message = prefixed(key, what)
        for depth in range(len(key), -1, -1):
            near = key[:depth]
            if near in self.options:
                return Problem(self.options[near], message)
            written = self.moved.get(near, near)
            marks = self.keys if at_key and depth == len(key) else self.values
            if (mark := marks.get(written)) or (mark := self.values.get(written)):
                return self.at(mark, message)
        return Problem(self.name, message)

    def at(self, mark: Mark, what: str) -> Problem:
        """Return a problem at a line and column."""
        line, column = mark
        return Problem(f"{self.name}:{line + 1}:{column + 1}", what, self._excerpt(mark))

    def _excerpt(self, mark: Mark) -> str:
        """Return the source line with carets under the value."""
        line, column = mark
        if line >= len(self.lines):
            return ""
        start = max(0, column - MAX_EXCERPT_LENGTH // 2)
        shown = self.lines[line][start : start + MAX_EXCERPT_LENGTH]
        text = "".join(c if c.isprintable() else " " for c in shown)
        token = re.match(r"[^\s,\]\}#:]+", text[column - start :])
        carets = "^" * max(1, len(token[0]) if token else 1)
        return f"{line + 1:5} | {text}\n      | {' ' * (column - start)}{carets}"


def prefixed(key: Key, what: str) -> str:
    """Return `methods.gatys.axes.optimizer[1]: what`, or `what` alone for the whole file."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return f"{path.removeprefix('.')}: {what}" if key else what


def split_lines(text: str) -> list[str]:
    """Split a text at the line breaks of YAML."""
    return re.split("\r\n|[\n\r\x85\u2028\u2029]", text)


def end_mark(text: str) -> Mark:
    """Return the position that follows a text."""
    lines = split_lines(text)
    return len(lines) - 1, len(lines[-1])
