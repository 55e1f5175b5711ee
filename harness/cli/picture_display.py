"""The lines and the progress bars of `nstbench stylize`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from harness.api.display import SHORT_PHASES
from harness.execution.stylize import OPTIMISED_SIZE, PictureStylizer

State = Literal["done", "exists", "failed"]

COLORS: dict[State, str] = {"done": "green", "exists": "yellow", "failed": "red"}


class PictureDisplay:
    """The lines and the progress bars of the command."""

    def __init__(self, console: Console, count: int) -> None:
        self.console, self.count = console, count
        self.counts: Counter[State] = Counter()
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24),
            TextColumn("{task.fields[of]}"), console=console,
        )  # fmt: skip
        self._all = self._progress.add_task("pictures", total=count, of=f"0/{count}")
        self._one = self._progress.add_task("starting", total=None, of="")
        self._name = ""

    def announce(self, stylizer: PictureStylizer, notes: Sequence[str]) -> None:
        """Print the method, the device and what the user should know."""
        facts, recipe = stylizer.resources, stylizer.recipe
        (style,) = stylizer.suite.styles
        encoder = f", encoder {facts.encoder.name} ({facts.encoder.origin})"
        reads = stylizer.method.layers
        self._say(f"{recipe.method} on {facts.device}{encoder if reads else ''}, style {style}, "
                  f"pictures: {self.count}")  # fmt: skip
        for text in (*notes, *stylizer.warnings):
            self._say(f"! {text}", "yellow")
        if reads and recipe.size is None:
            self._say(f"{recipe.method} works at a long edge of at most {OPTIMISED_SIZE} px. For "
                      "another size, pass --size PIXELS or --size native.")  # fmt: skip

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the progress bars inside the block, on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with self._progress:
            yield

    def started(self, path: Path) -> None:
        """Name the picture that is stylized."""
        self._name = path.name
        self.progress("read", 0, 1)

    def progress(self, phase: str, index: int, of: int) -> None:
        """Show the phase of the picture."""
        text = f"{SHORT_PHASES.get(phase, 'reading')} {escape(self._name)}"
        self._progress.update(
            self._one, description=text, completed=index, total=of, of=f"{index}/{of}"
        )

    def finished(self, state: State, text: str) -> None:
        """Print a line about a picture."""
        self.counts[state] += 1
        number = sum(self.counts.values())
        self._progress.update(self._all, completed=number, of=f"{number}/{self.count}")
        self._say(f"[{number}/{self.count}] {state} ", COLORS[state], text)

    def interrupt_received(self) -> None:
        """Print the effect of the first Ctrl-C."""
        self._say("stopping after this picture; press Ctrl-C again to stop now", "yellow")

    def summary(self, output: Path, *, interrupted: bool) -> None:
        """Print how many pictures there are, and where."""
        if interrupted:
            self._say("Interrupted. Written pictures are kept. To continue, run the same command "
                      "again.")  # fmt: skip
        done, exist, failed = (self.counts[state] for state in ("done", "exists", "failed"))
        self._say(f"{done} stylized, {exist} existed, {failed} failed: {output}")

    def _say(self, text: str, color: str = "", rest: str = "") -> None:
        line = Text(text, style=color) + Text(f" {rest}" if rest else "")
        self.console.print(line, highlight=False, soft_wrap=True)
