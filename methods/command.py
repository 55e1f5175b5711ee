"""Run a program of another project. Source: none, a bridge to programs that exist.

The program receives PNG files and writes an image file. It runs without a shell, under supervision:
all of its processes end with the cell. `docs/bring-your-own.md` describes the parameters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from harness.errors import SourceError
from harness.protocols import Method, Timed
from harness.registry import METHODS
from methods import _command_line as command_line
from methods._program_recipe import ProgramRecipe

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Stylizer


@METHODS.register("command")
@dataclass(frozen=True, kw_only=True)
class Command(ProgramRecipe, Method):
    """Stylize with a program: once a picture, or as a server that stays for many pictures."""

    version: ClassVar[int] = 1

    @property
    def timed(self) -> Timed:  # type: ignore[override]
        """A program that does not stay starts and loads its weights for each picture."""
        return "stylization" if self.serve else "stylization and start-up"

    @property
    def programs(self) -> tuple[tuple[str, ...], ...]:
        """The commands, with their folder, environment and placeholders."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        prefix = ("env", "-C", str(self.path), *variables)
        commands = filter(None, (self.fit_run, self.run))
        return tuple((*prefix, *command_line.fill(words, {})) for words in commands)

    @property
    def files(self) -> Mapping[str, str]:
        """The scripts and other files that the commands and `needs` name by relative paths."""
        found = command_line.named_files((*self.run, *self.fit_run, *self.needs), self.path)
        return {f"file {name}": str(path) for name, path in found}

    @property
    def unavailable(self) -> str:
        """What is missing on this machine."""
        if not self.run:
            return "run is empty: name the program and its arguments"
        if not self.path.is_dir():
            return f"there is no folder {self.path}"
        search = self.environment.get("PATH")
        words = [words[0] for words in (self.run, self.fit_run) if words]
        found = {word: command_line.find_program(word, self.path, search) for word in words}
        missing = [f"the program {word}" for word, path in found.items() if path is None]
        named = command_line.PYTHON.fullmatch(Path(self.run[0]).name)
        python = found[self.run[0]] if named else None
        missing += filter(None, (
            command_line.missing_need(need, self.path, search, python) for need in self.needs
        ))  # fmt: skip
        return f"missing: {', '.join(dict.fromkeys(missing))}" if missing else ""

    def resolve(self, given: Collection[str]) -> Self:
        """Check that the suite names a program."""
        if not self.run:
            raise SourceError(
                "run is empty. Name the program and its arguments: "
                'run: [python, stylize.py, "{content}", "{style}", "{output}"].'
            )
        return self

    def fit(self, style: Image, context: Context) -> Stylizer:
        """Write the style to a file, run `fit_run`, start a program that serves."""
        from methods._program_stylizer import ProgramStylizer  # imports torch

        return ProgramStylizer(self, style, context)
