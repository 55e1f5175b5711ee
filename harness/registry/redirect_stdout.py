"""Standard output, kept for what a command has to say."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO


@contextmanager
def stdout_to(file: TextIO, descriptor: int) -> Iterator[None]:
    """Let all that goes to stdout, from Python or from below it, go to `file` instead.

    Args:
        file: What Python prints to.
        descriptor: Its number, for everything else: 2 for stderr.
    """
    try:
        kept = os.dup(1)
    except OSError:  # it is closed: nothing to keep clean
        kept = None
    if sys.stdout is not None:
        sys.stdout.flush()
    try:
        if kept is not None:
            os.dup2(descriptor, 1)
        with redirect_stdout(file):
            yield
    finally:
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)
