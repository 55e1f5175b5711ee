"""A plug-in method of known cost: it sleeps, and records the times of its calls."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nstbench import METHODS, Context, Image, Method, Step, Stylizer

MARKS = "NSTBENCH_SPEED_MARKS"
"""Environment variable: file for the begin and end of every call, seconds of the shared clock."""


@METHODS.register("sleeper")
@dataclass(frozen=True, kw_only=True)
class Sleeper(Method):
    """Return the content after `seconds`. A method with steps is not repeated for its time."""

    version: ClassVar[int] = 1
    seconds: float = 0.05

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Return a stylizer that ignores the style."""

        def stylize(content: Image, context: Context) -> Image:
            begin = time.monotonic()
            time.sleep(self.seconds)
            context.on_step(Step(1, 1, {"total": 1.0}))
            note(begin, time.monotonic())
            return content

        return stylize


def note(begin: float, end: float) -> None:
    """Append a line to the file named by MARKS, if it is set."""
    if path := os.environ.get(MARKS):
        with Path(path).open("a", encoding="ascii") as file:
            file.write(f"{begin} {end}\n")
