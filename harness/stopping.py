"""How a run is asked to stop: Ctrl-C ends it after the running cell, a second one ends it now."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class Stopping:
    """Answers SIGINT and SIGTERM while it is entered.

    The second SIGINT, and SIGTERM at once, raise KeyboardInterrupt in the main thread.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.asked = False
        self.act: Callable[[], None] = lambda: None
        """Done once when it is first asked; it runs inside a signal handler."""
        self._on_first = on_first
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stopping:
        answers = {signal.SIGINT: self._interrupted, signal.SIGTERM: _now}
        self._before = {number: signal.signal(number, act) for number, act in answers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, act in self._before.items():
            signal.signal(number, act)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            _now(number, frame)
        self.asked = True
        self._on_first()
        self.act()


def _now(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
