"""What `doctor` and `check` find, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["good", "fair", "bad"]


@dataclass(frozen=True)
class Finding:
    """One line: `fair` is a lack that runs live with, `bad` one that they fail on."""

    section: str
    name: str
    state: State
    what: str
    remedy: str = ""
