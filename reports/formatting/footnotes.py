"""Texts that several numbers of a panel refer to."""

from __future__ import annotations


class Footnotes:
    """Texts numbered as they come, each of them once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> int:
        """Return the number of a footnote."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1
