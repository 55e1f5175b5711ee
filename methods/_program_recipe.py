"""What a suite says about a program: its words, where it runs, what it needs and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.programs import Command as Program
from harness.registry import LOCATION
from methods import _command_line as command_line
from methods._command_line import COMMON, PICTURE, STYLE


@dataclass(frozen=True, kw_only=True)
class ProgramRecipe:
    """The parameters of `command`."""

    run: tuple[str, ...] = ()
    """The program and its arguments, with {content}, {style}, {output} ... for paths."""
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
    """Programs, files and modules (`module:torch`) without which the cells are skipped."""
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
    def path(self) -> Path:
        """The directory."""
        return Path(self.directory or ".")

    def filled(self, words: Sequence[str], values: Mapping[str, object]) -> Program:
        """Return the program to start, with values in place of its placeholders."""
        filled = command_line.fill(words, values)
        return Program(filled, str(self.path), dict(self.environment), self.memory_gb)
