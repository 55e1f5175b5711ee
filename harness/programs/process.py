"""A program under the supervision of a guard process, see `guard.py`."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.errors import ProgramError
from harness.programs.output import quote_output

GUARD = Path(__file__).with_name("guard.py")

GRACE_SECONDS = 10.0
"""For what follows a timeout of a program: its processes end, and the record is written."""

OUT_OF_MEMORY = re.compile(r"MemoryError|[Oo]ut of memory|OutOfMemory|bad_alloc|allocate memory")


@dataclass(frozen=True)
class Command:
    """A program with its arguments, and where it runs."""

    words: tuple[str, ...]
    directory: str
    environment: Mapping[str, str]  # in addition to that of nstbench
    memory_gb: float = 0.0  # maximum of all its processes; 0 is the memory that is free

    @property
    def name(self) -> str:
        """The name of the program for messages."""
        return Path(self.words[0]).name


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int  # a negative number is a signal
    seconds: float
    peak_mb: float  # resident memory of all its processes
    over_memory: bool
    output: str  # the end of it

    def error(self, command: Command, limit_mb: float, *, when: str = "") -> ProgramError | None:
        """Return the error of a program that did not end with exit code 0."""
        if self.over_memory:
            what = f"used more than {limit_mb / 1000:.3g} GB of memory and was ended"
            return failure(command, what, self.output, "out_of_memory")
        if self.code == 0 and not when:
            return None
        if self.code < 0:
            what = f"was ended by signal {signal.Signals(-self.code).name}{when}"
            return failure(command, what, self.output, "crashed")
        what = f"ended with exit code {self.code}{when}"
        lacked = self.code and OUT_OF_MEMORY.search(self.output)
        return failure(command, what, self.output, "out_of_memory" if lacked else "failed")


def failure(command: Command, what: str, output: str, status: Any = "failed") -> ProgramError:
    """Return an error that says what a program did, with its last lines."""
    return ProgramError(f"{command.name} {what}.{quote_output(output)}", status)


class SupervisedProcess:
    """A running program and its guard.

    Args:
        command: What to run.
        serves: Whether the program talks to nstbench by its standard input and output; otherwise
            both outputs are kept as messages.
    """

    def __init__(self, command: Command, *, serves: bool = False) -> None:
        self.command = command
        free = psutil.virtual_memory().available / 1e6
        self.limit_mb = min(command.memory_gb * 1000, free) if command.memory_gb else free
        self.control, theirs = socket.socketpair()
        pipe = subprocess.PIPE if serves else subprocess.DEVNULL
        with theirs:
            self.guard = subprocess.Popen(
                [sys.executable, "-E", "-P", GUARD, str(theirs.fileno())],
                stdin=pipe,
                stdout=pipe,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C of a terminal does not reach it
            )
        order = {
            "command": command.words,
            "directory": command.directory,
            "environment": {**os.environ, **command.environment},
            "memory_mb": self.limit_mb,
            "serves": serves,
        }
        self.control.sendall(json.dumps(order).encode() + b"\n")
        self._received = b""

    def message(self) -> dict[str, Any]:
        """Return the next message of the guard; wait for it.

        Raises:
            ProgramError: The program did not start, or its guard was killed.
        """
        while b"\n" not in self._received:
            with suppress(OSError):
                if part := self.control.recv(65536):
                    self._received += part
                    continue
            self.close()
            raise failure(self.command, "lost the process that supervises it", "", "crashed")
        line, _, self._received = self._received.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        if "error" in message:
            self.close()
            raise ProgramError(f"{self.command.name} does not start: {message['error']}.")
        return message

    def keep(self, message: dict[str, Any]) -> None:
        """Put a message back, to be returned again."""
        self._received = json.dumps(message).encode() + b"\n" + self._received

    def end(self) -> Ended:
        """End the program and all of its processes, unless it has ended, and return how."""
        with suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)
        while "code" not in (message := self.message()):
            pass
        self.close()
        return Ended(**message)

    def close(self) -> None:
        """Release the pipes; the guard ends the program if it still runs."""
        self.control.close()
        for pipe in (self.guard.stdin, self.guard.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()
        self.guard.wait()


def run(command: Command) -> Ended:
    """Run a program to its end.

    Raises:
        ProgramError: It failed, crashed, or exceeded the time limit of the cell or its memory.
    """
    with time_limit() as limit:
        process = SupervisedProcess(command)
        try:
            ready, _, _ = select.select([process.control], [], [], limit)
            ended = process.end()
        finally:
            process.close()
    if not ready:
        raise timeout_error(command, limit, ended.output)
    if error := ended.error(command, process.limit_mb):
        raise error
    return ended


def timeout_error(command: Command, limit: float | None, output: str) -> ProgramError:
    """Return the error of a program that exceeded the time limit of its cell."""
    what = f"did not end within the {limit or 0:.3g} s that its cell had left (--timeout)"
    return failure(command, what, output, "timeout")


@contextmanager
def time_limit() -> Iterator[float | None]:
    """Yield the seconds that the running cell has left; None without a limit.

    The alarm that would end this process at that time is postponed: who waits for a program ends
    the program instead, and can report its output.
    """
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if not left:
        yield None
        return
    start = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, left + GRACE_SECONDS)
    try:
        yield left
    finally:
        rest = left - (time.monotonic() - start)
        signal.setitimer(signal.ITIMER_REAL, rest if rest > 0 else GRACE_SECONDS)
