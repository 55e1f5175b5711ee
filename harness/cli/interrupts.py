"""How a run is asked to stop: Ctrl-C ends it after the running cell, a second one ends it now."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class InterruptHandler:
    """Answers SIGINT and SIGTERM while it is entered.

    The second SIGINT, and SIGTERM at once, raise KeyboardInterrupt in the main thread.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.asked = False
        self.act: Callable[[], None] = lambda: None
        """Done once when it is first asked; it runs inside a signal handler."""
        self._on_first = on_first
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptHandler:
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


def as_ctrl_c() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, unless they are ignored, as nohup has it."""
    for ending in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _now)


def _now(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
