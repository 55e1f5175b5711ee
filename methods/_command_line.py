"""The words of a program in a suite: their placeholders, and the files that they name."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

PLACEHOLDER = re.compile(r"\{(\w+)\}")

PICTURE = ("content", "content_folder", "output", "output_folder")
STYLE = ("style", "style_folder")
COMMON = ("seed", "size", "device")
MODULE = "module:"
PYTHON = re.compile(r"python[\d.]*")
"""Names of interpreters."""


def placeholders(words: Sequence[str]) -> set[str]:
    """Return the names in braces."""
    return {name for word in words for name in PLACEHOLDER.findall(word)}


def check(key: str, words: Sequence[str], allowed: Collection[str], why: str = "") -> None:
    """Raise ValueError for a placeholder that these words cannot have.

    Args:
        key: The parameter of the suite.
        words: The program and its arguments.
        allowed: Names of placeholders.
        why: Added to the message.
    """
    if unknown := sorted(placeholders(words) - set(allowed)):
        names = ", ".join(f"{{{name}}}" for name in unknown)
        known = ", ".join(f"{{{name}}}" for name in allowed)
        raise ValueError(f"{key} has {names}{why}; its placeholders are {known}")
    if any("\0" in word for word in words) or (words and not words[0]):
        raise ValueError(f"{key} has an empty program or a null character")


def fill(words: Sequence[str], values: Mapping[str, object]) -> tuple[str, ...]:
    """Return the words with values in place of their placeholders, and the Python of nstbench."""

    def value(match: re.Match[str]) -> str:
        return str(values[match[1]]) if match[1] in values else match[0]

    program, *arguments = (PLACEHOLDER.sub(value, word) for word in words)
    return (sys.executable if program == "python" else program, *arguments)


def named_files(words: Sequence[str], directory: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files that relative words name, such as a script or `--model=net.pth`.

    The interpreter is left out: its bytes differ between machines.
    """
    for word in words:
        name = word.rpartition("=")[2]
        if not name or PYTHON.fullmatch(Path(name).name):
            continue
        path = directory / name
        if not Path(name).is_absolute() and os.path.isfile(path):  # noqa: PTH113 - any text
            yield name, path


def find_program(word: str, directory: Path, search: str | None) -> Path | None:
    """Return the path of a program: a name is searched in PATH, a path is below the directory."""
    if word == "python":
        return Path(sys.executable)
    if os.sep not in word:
        found = shutil.which(word, path=search)
        return Path(found) if found else None
    path = directory / word
    return path if path.is_file() and os.access(path, os.X_OK) else None


def missing_need(need: str, directory: Path, search: str | None, python: Path | None) -> str:
    """Return what is missing of an entry of `needs`, or an empty string. Starts nothing."""
    if need.startswith(MODULE):
        module = need.removeprefix(MODULE)
        where = f" of {python}" if python else ""
        return "" if _has_module(module, python) else f"the Python module {module}{where}"
    path = directory / Path(need).expanduser()
    if path.exists() or (os.sep not in need and find_program(need, directory, search)):
        return ""
    return f"the file {path}" if os.sep in need else f"{need}, a file of {directory} or a program"


def _has_module(name: str, python: Path | None) -> bool:
    """Return whether an interpreter has a module, from the folders of its installed packages."""
    if python is None or python == Path(sys.executable):
        return importlib.util.find_spec(name.partition(".")[0]) is not None
    path = name.replace(".", "/")
    folders = python.parent.parent.glob("lib/python3*/*-packages")
    return any((f / path).is_dir() or (f / f"{path}.py").is_file() for f in folders)
