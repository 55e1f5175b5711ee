"""Handle Ctrl-C: the first one ends a run after the running cell, the second one at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class InterruptHandler:
    """Handles SIGINT and SIGTERM inside a `with` block.

    The second SIGINT, and any SIGTERM, raise KeyboardInterrupt in the main thread. Python allows
    handlers in the main thread only; in another one the block handles no signals.

    Args:
        on_first: Called at the first SIGINT, inside a signal handler.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.interrupted = False
        self.stop: Callable[[], None] = lambda: None
        """Ends the run; called after `on_first`. The run sets it once it has started."""
        self._on_first = on_first
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> InterruptHandler:
        handlers = {signal.SIGINT: self._on_interrupt, signal.SIGTERM: _raise_interrupt}
        if threading.current_thread() is not threading.main_thread():
            return self
        self._previous = {number: signal.signal(number, one) for number, one in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            _raise_interrupt(number, frame)
        self.interrupted = True
        self._on_first()
        self.stop()


def raise_on_termination() -> None:
    """Make SIGTERM and SIGHUP raise KeyboardInterrupt, unless ignored, for example by nohup."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_interrupt)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
