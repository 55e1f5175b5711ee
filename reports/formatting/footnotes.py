"""Number the footnotes of a panel."""

from __future__ import annotations


class Footnotes:
    """Unique texts, numbered in order of first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> int:
        """Return the number of a text, adding it if it is new."""
        if text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1
