"""Redirect standard output, so that programs can parse what a command prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO


@contextmanager
def stdout_to(file: TextIO, descriptor: int) -> Iterator[None]:
    """Redirect stdout to `file`, including output of C libraries and child processes.

    Args:
        file: Receives what Python prints.
        descriptor: File descriptor of `file`, for all other output: 2 for stderr.
    """
    try:
        saved = os.dup(1)
    except OSError:  # stdout is closed
        saved = None
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        if saved is not None:
            os.dup2(descriptor, 1)
        with redirect_stdout(file):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)
