"""Settings of a run: given in Python, on the command line or in the environment."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from harness import filesystem
from harness.errors import UsageError

DEFAULT_OUT = Path("runs")


def weights_paths(arguments: Iterable[str]) -> dict[str, Path]:
    """Parse the NAME=PATH values of --weights.

    Raises:
        UsageError: A value has no `=`.
    """
    paths = {}
    for text in arguments:
        name, equals, path = text.partition("=")
        if not equals:
            raise UsageError(f"--weights {text} is not of the form NAME=PATH, as in vgg19=PATH.")
        paths[name] = filesystem.expanded(path)
    return paths


def expand_location(value: str) -> str:
    """Replace the leading `~` of a path, also in the address of an SQLite database or a folder."""
    for scheme in ("", "sqlite:///", "file://"):
        if value.startswith(f"{scheme}~"):
            return f"{scheme}{filesystem.expanded(value.removeprefix(scheme))}"
    return value


def _flag(text: str) -> bool:
    if text.lower() not in {*_TRUE, *_FALSE}:
        raise ValueError(text)
    return text.lower() in _TRUE


_TRUE, _FALSE = ("1", "true", "t", "yes", "y", "on"), ("0", "false", "f", "no", "n", "off")

_READERS: dict[str, Callable[[str], Any]] = {
    "out": filesystem.expanded,
    "weights": lambda text: weights_paths(filter(None, text.split(os.pathsep))),
    "offline": _flag,
    "deterministic": _flag,
    "allow_commands": _flag,
    "no_mlflow": _flag,
    "batch_cells": int,
    "timeout": float,
    "gpus_per_worker": float,
}
"""How to read a setting from the environment; the others are text."""

_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "out": filesystem.expanded,
    "mirror": lambda location: expand_location(os.fspath(location)),
    "weights": lambda paths: {name: filesystem.expanded(path) for name, path in paths.items()},
    "max_failures": str,
}
"""How to convert a setting that is given in Python; the others stay as they are."""

_CHOICES = {
    "precision": ("auto", "float32", "bfloat16"),
    "executor": ("local", "ray"),
}
_POSITIVE = ("batch_cells", "timeout", "gpus_per_worker")


def resolve(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that have a value; those that are None come from NSTBENCH_<NAME>.

    Raises:
        UsageError: A value is not allowed.
    """
    found = {}
    for name, value in given.items():
        variable = f"NSTBENCH_{name.upper()}"
        if value is not None:
            value = _CONVERTERS.get(name, lambda same: same)(value)
        elif text := os.environ.get(variable):
            try:
                value = _READERS.get(name, expand_location)(text)
            except ValueError:
                kind = "yes or no" if _READERS[name] is _flag else "a number"
                raise UsageError(f"{variable}={text} is not {kind}.") from None
        if value is not None:
            _check(name, value)
            found[name] = value
    return found


def _check(name: str, value: Any) -> None:
    choices = _CHOICES.get(name)
    if choices and value not in choices:
        raise UsageError(f"{name}={value!r} is not one of {', '.join(choices)}.")
    if name == "out" and value.exists() and not value.is_dir():
        raise UsageError(f"out={str(value)!r} is a file. Choose a folder for the results.")
    if name in _POSITIVE and not value > 0:
        raise UsageError(f"{name}={value!r} is not a positive number.")
    if name == "gpus_per_worker" and value > 1:
        raise UsageError(f"gpus_per_worker={value!r} is more than one GPU.")


def command_line(suite: Path, overrides: Iterable[str], settings: Mapping[str, Any]) -> str:
    """Return the command that does the same as a call of `nstbench.run`."""
    from harness.store import redact

    words = ["nstbench", "run", str(suite)]
    for override in overrides:
        words += ["--set", override]
    for name, value in settings.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            for key, path in value.items():
                words += [option, f"{key}={path}"]
        elif isinstance(value, bool):
            words += [option] * value
        else:
            words += [option, str(value)]
    return shlex.join(map(redact, words))
