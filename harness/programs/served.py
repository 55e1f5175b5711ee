"""A program that stays: one line of JSON for each picture on its input, one on its output.

After its start the program writes `{"ready": true}`. A request has the keys content, style, output,
seed and size; the answer has output and, optionally, seconds, peak_mb and losses, or it has error.
"""

from __future__ import annotations

import json
import math
import os
import select
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from harness.errors import ProgramError, quoted
from harness.programs.process import Command, SupervisedProcess, failure, time_limit, timeout_error

MAX_LINE_BYTES = 1 << 20
"""Of an answer."""

CLOSE_SECONDS = 2.0
"""For a program to end by itself after the end of its input."""


@dataclass(frozen=True)
class Answer:
    """The answer to one request."""

    output: str
    seconds: float
    own_seconds: bool  # measured by the program, not from the request to the answer
    peak_mb: float | None
    printed: str  # the end of its messages since the last answer
    losses: Mapping[str, float] = field(default_factory=dict)


class ServedProgram:
    """A running program that answers requests; it ends itself after a failure.

    Raises:
        ProgramError: The program did not start.
    """

    def __init__(self, command: Command) -> None:
        self.command, self._received = command, b""
        start = time.perf_counter()
        self.process = SupervisedProcess(command, serves=True)
        self.running = True
        answer = self._next_line(" before it was ready")
        if answer.get("ready") is not True:
            raise self._end(f'wrote {quoted(json.dumps(answer))} instead of {{"ready": true}}')
        self.start_seconds = time.perf_counter() - start
        self.start_peak_mb, self.printed = self._usage()

    def ask(self, request: Mapping[str, Any]) -> Answer:
        """Send a request and return the answer.

        Raises:
            ProgramError: The program reported an error, broke the protocol or ended.
        """
        start = time.perf_counter()
        try:
            assert self.process.guard.stdin is not None
            self.process.guard.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.guard.stdin.flush()
        except BrokenPipeError:
            raise self._ended(" before it answered") from None
        answer = self._next_line(" before it answered")
        seconds = time.perf_counter() - start
        if "error" in answer:
            raise ProgramError(f"{self.command.name} reported: {str(answer['error'])[:2000]}")
        own = self._number(answer, "seconds")
        own_peak, (peak, printed) = self._number(answer, "peak_mb"), self._usage()
        return Answer(
            self._text(answer, "output"),
            seconds if own is None else own,
            own is not None,
            peak if own_peak is None else own_peak,
            printed,
            self._losses(answer),
        )

    def close(self) -> None:
        """End the input of the program, and the program if it does not end by itself."""
        if self.running:
            self.running = False
            assert self.process.guard.stdin is not None
            with suppress(OSError):  # it has ended
                self.process.guard.stdin.close()
            select.select([self.process.control], [], [], CLOSE_SECONDS)
            self.process.close()

    def _next_line(self, when: str) -> dict[str, Any]:
        """Return the next line of the program as a mapping."""
        line = self._read_line(when)
        text = line.decode(errors="replace").strip()
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self._end(
                f"wrote a line that is not a JSON object to its standard output: {quoted(text)}. "
                "Messages belong to the standard error"
            )
        return answer

    def _read_line(self, when: str) -> bytes:
        assert self.process.guard.stdout is not None
        pipe, control = self.process.guard.stdout.fileno(), self.process.control.fileno()
        with time_limit() as limit:
            deadline = math.inf if limit is None else time.monotonic() + limit
            while b"\n" not in self._received:
                if len(self._received) > MAX_LINE_BYTES:
                    raise self._end(f"wrote a line of more than {MAX_LINE_BYTES:,} bytes")
                left = None if limit is None else max(0.0, deadline - time.monotonic())
                ready, _, _ = select.select([pipe, control], [], [], left)
                if not ready:
                    output = self._stop()
                    raise timeout_error(self.command, limit, output)
                if pipe in ready and (part := os.read(pipe, 65536)):
                    self._received += part
                elif pipe in ready or control in ready:
                    raise self._ended(when)
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _stop(self) -> str:
        """End the program at once; return the end of its messages."""
        self.running = False
        return self.process.end().output

    def _end(self, what: str) -> ProgramError:
        """End a program that broke the protocol, and return the error."""
        return failure(self.command, what, self._stop())

    def _ended(self, when: str) -> ProgramError:
        """Return the error of a program that has ended by itself."""
        self.running = False
        # Its output may have ended a moment before the program itself: let it end.
        select.select([self.process.control], [], [], CLOSE_SECONDS)
        error = self.process.end().error(self.command, self.process.limit_mb, when=when)
        assert error is not None
        return error

    def _usage(self) -> tuple[float | None, str]:
        """Return peak memory and messages of the program since the last call."""
        try:
            self.process.control.sendall(b"?")
        except OSError:
            return None, ""  # it ended after its answer; the next request reports that
        message = self.process.message()
        if "code" in message:
            self.process.keep(message)
            return None, ""
        return float(message["peak_mb"]), str(message["output"])

    def _text(self, answer: Mapping[str, Any], key: str) -> str:
        value = answer.get(key)
        if not isinstance(value, str) or "\0" in value:
            raise self._end(f"answered {quoted(json.dumps(answer))}, which has no text {key!r}")
        return value

    def _number(self, answer: Mapping[str, Any], key: str) -> float | None:
        value = answer.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
            raise self._end(f"answered {key}: {quoted(value)}, which is not a positive number")
        return float(value)

    def _losses(self, answer: Mapping[str, Any]) -> dict[str, float]:
        losses = answer.get("losses") or {}
        if not isinstance(losses, dict) or not all(
            isinstance(value, (int, float)) for value in losses.values()
        ):
            raise self._end(
                f"answered losses: {quoted(losses)}, which does not map names to numbers"
            )
        return {str(name): float(value) for name, value in losses.items()}
