"""Run a program of another project. Source: none, a bridge to programs that exist.

The program receives PNG files and writes an image file. It runs without a shell, under supervision:
all of its processes end with the cell. `docs/bring-your-own.md` describes the parameters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from harness.errors import SourceError
from harness.programs import Command as Program
from harness.protocols import Method, Timed
from harness.registry import LOCATION, METHODS
from methods import _command_line as command_line
from methods._command_line import COMMON, PICTURE, STYLE

if TYPE_CHECKING:
    from harness.protocols import Context, Image, Stylizer


@METHODS.register("command")
@dataclass(frozen=True, kw_only=True)
class Command(Method):
    """Stylize with a program: once a picture, or as a server that stays for many pictures."""

    version: ClassVar[int] = 1

    run: tuple[str, ...] = ()
    """The program and its arguments, with {content}, {style}, {output} ... for paths; `python` is
    the Python that runs nstbench."""
    fit_run: tuple[str, ...] = ()
    """A program to run before, once for each style; it writes {model}, a file or a folder."""
    serve: bool = False
    """Start the program once and send it a line of JSON for each picture."""
    directory: str = field(default=".", metadata=LOCATION)
    """Where the programs run, relative to the suite."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables to add."""
    program_version: str = ""
    """Version or commit of the program. Results are computed again when it changes."""
    needs: tuple[str, ...] = ()
    """What has to exist: programs, files, Python modules (`module:torch`). Otherwise cells are
    skipped."""
    output: str = "output.png"
    """Name of the file that the program writes in {output_folder}."""
    resize: Literal["none", "lanczos"] = "none"
    """What to do with an image of another size: the cell fails, or the image is resized."""
    memory_gb: float = 0.0
    """Maximum memory of the program with all its processes; 0 is the memory that is free."""

    def __post_init__(self) -> None:
        """Raise ValueError for placeholders that the program cannot have."""
        model = ("model",) if self.fit_run else ()
        command_line.check("fit_run", self.fit_run, (*STYLE, "model", *COMMON))
        if self.serve:
            allowed = ("device", *((*STYLE, *model) if model else ()))
            why = ", which requests have" if model else ", which requests have (or needs fit_run)"
            command_line.check("run with serve", self.run, allowed, why)
        else:
            allowed = (*PICTURE, *STYLE, *model, *COMMON)
            command_line.check("run", self.run, allowed)
            if self.run and not command_line.placeholders(self.run) & {"output", "output_folder"}:
                raise ValueError("run has neither {output} nor {output_folder}: the program would "
                                 "not know where to write the image")  # fmt: skip
        if self.fit_run and "model" not in command_line.placeholders(self.fit_run):
            raise ValueError("fit_run has no {model}: the path where it stores what it learns")
        if Path(self.output).name != self.output or not self.output:
            raise ValueError(f"output is {self.output!r}, which is not the name of a file")
        if self.memory_gb < 0:
            raise ValueError(f"memory_gb is {self.memory_gb:g}; the minimum is 0")
        if any(not name or "=" in name or "\0" in name + value
               for name, value in self.environment.items()):  # fmt: skip
            raise ValueError("environment has a name that no variable can have")

    @property
    def timed(self) -> Timed:  # type: ignore[override]
        """A program that does not stay starts and loads its weights for each picture."""
        return "stylization" if self.serve else "stylization and start-up"

    @property
    def programs(self) -> tuple[tuple[str, ...], ...]:
        """The commands, with their environment and placeholders."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        prefix = ("env", *variables) if variables else ()
        commands = filter(None, (self.fit_run, self.run))
        return tuple((*prefix, *command_line.fill(words, {})) for words in commands)

    @property
    def files(self) -> Mapping[str, str]:
        """The scripts and other files that the commands and `needs` name by relative paths."""
        found = command_line.named_files(
            (*self.run, *self.fit_run, "", *self.needs), self._directory
        )
        return {f"file {name}": str(path) for name, path in found}

    @property
    def unavailable(self) -> str:
        """What is missing on this machine."""
        if not self.run:
            return "run is empty: name the program and its arguments"
        if not self._directory.is_dir():
            return f"there is no folder {self._directory}"
        search = self.environment.get("PATH")
        words = [words[0] for words in (self.run, self.fit_run) if words]
        found = {word: command_line.find_program(word, self._directory, search) for word in words}
        missing = [f"the program {word}" for word, path in found.items() if path is None]
        named = command_line.PYTHON.fullmatch(Path(self.run[0]).name)
        python = found[self.run[0]] if named else None
        missing += filter(None, (
            command_line.missing_need(need, self._directory, search, python) for need in self.needs
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

    @property
    def _directory(self) -> Path:
        return Path(self.directory or ".")

    def filled(self, words: Sequence[str], values: Mapping[str, object]) -> Program:
        """Return the program to start, with values in place of its placeholders."""
        filled = command_line.fill(words, values)
        return Program(filled, str(self._directory), dict(self.environment), self.memory_gb)
