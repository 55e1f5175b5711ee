"""Served programs that several fits share: each stays until memory is needed or the worker ends."""

from __future__ import annotations

from collections import OrderedDict

from harness.programs.process import Command
from harness.programs.served import ServedProgram

MAX_RUNNING = 4
"""Programs that wait for requests at the same time; they may hold memory of the GPU."""

_running: OrderedDict[str, ServedProgram] = OrderedDict()  # the last one was used last


def shared_program(command: Command) -> tuple[ServedProgram, bool]:
    """Return the running program of a command, and whether it started now.

    Raises:
        ProgramError: It does not start.
    """
    key = repr(command)
    program = _running.pop(key, None)
    started = program is None or not program.running
    if program is None or not program.running:
        while len(_running) >= MAX_RUNNING:
            _running.popitem(last=False)[1].close()
        program = ServedProgram(command)
    _running[key] = program
    return program, started


def close_shared() -> None:
    """End all shared programs."""
    while _running:
        _running.popitem()[1].close()
