"""A plug-in method that sleeps and records the times of its calls, and a suite that uses it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nstbench import METHODS, Context, Image, Method, Step, Stylizer

SUITE = """\
version: 1
name: overhead
encoder: random
sizes: [256]
contents: {{coffee: {{builtin: coffee}}}}
styles: {{brick: {{builtin: brick}}}}
methods: {{sleeper: }}
metrics: []
seeds: {seeds}
"""
"""A suite with one cell per seed."""

CALLS = "NSTBENCH_SPEED_CALLS"
"""Environment variable: file for the start and end of every call, in seconds of a shared clock."""

Call = tuple[float, float]
"""Start and end of the call of a cell's method, in seconds."""


@METHODS.register("sleeper")
@dataclass(frozen=True, kw_only=True)
class Sleeper(Method):
    """Return the content after `seconds`."""

    version: ClassVar[int] = 1
    seconds: float = 0.05

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Return a stylizer that ignores the style."""

        def stylize(content: Image, context: Context) -> Image:
            start = time.monotonic()
            time.sleep(self.seconds)
            # The harness does not repeat a method that reports steps.
            context.on_step(Step(1, 1, {"total": 1.0}))
            append_call(start, time.monotonic())
            return content

        return stylize


def append_call(start: float, end: float) -> None:
    """Append a line to the file named by CALLS, if it is set."""
    if path := os.environ.get(CALLS):
        with Path(path).open("a", encoding="ascii") as file:
            file.write(f"{start} {end}\n")


def read_calls(path: Path) -> list[Call]:
    """Return the calls in a file that `append_call` wrote, in the order of their start."""
    lines = path.read_text(encoding="ascii").splitlines()
    return sorted((float(start), float(end)) for start, end in map(str.split, lines))


def install(site: Path) -> None:
    """Register this module by an entry point, as an installed package does."""
    info = site / "sleeper-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nstbench.methods]\nsleeper = tests.speed._sleeper\n")
