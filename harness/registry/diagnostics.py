"""Results of checks, and descriptions of exceptions, for `nstbench check` and `nstbench doctor`."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["good", "fair", "bad"]


@dataclass(frozen=True)
class ValidationIssue:
    """A rule that a class or a method breaks, and the remedy."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Finding:
    """One line of output. Runs work with a `fair` finding and fail with a `bad` one."""

    section: str
    name: str
    state: State
    what: str
    remedy: str = ""


def describe_exception(error: BaseException) -> str:
    """Return `Kind: message`, the first line of it, as at the end of a traceback."""
    lines = traceback.format_exception_only(error)
    return lines[-1 if isinstance(error, SyntaxError) else 0].strip().splitlines()[0]
