"""The command line of `nstbench stylize` as a suite of one method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness import suite
from harness.errors import UsageError
from harness.protocols import SupportsTiles
from harness.registry import METHODS, settings
from harness.resources.images import ImageSource
from harness.resources.weights import describe_tensors

Color = Literal["style", "keep"]
Size = int | Literal["native"] | None


@dataclass(frozen=True)
class Recipe:
    """How pictures are stylized, as on the command line."""

    method: str
    style: Path | None = None  # None for a network, which has learned its style
    style_name: str = ""  # the stem of `style`, unless it is given
    preset: str | None = None
    overrides: Sequence[str] = ()  # PARAMETER=VALUE
    checkpoint: Path | None = None
    seed: int = 0
    size: Size = None  # None is the default of the method
    color: Color = "style"
    tile: int | None = None  # None decides by the free memory; 0 is never


def read_fit(path: Path, method: str = "") -> tuple[str, Mapping[str, Any]]:
    """Return the method of a file of a trained network, and the recipe in its metadata.

    Args:
        path: Of the file.
        method: The one that the user names, if any.

    Raises:
        SourceError: The file cannot be read.
        UsageError: The method cannot use trained networks.
    """
    recipe = describe_tensors(path)[1]
    method = method or str(recipe.get("method", "johnson"))
    if "checkpoint" not in settings(METHODS.get(method)):
        raise UsageError(
            f"{method} has no parameter `checkpoint`, so that it cannot use {path.name}."
        )
    return method, recipe


def make_suite(recipe: Recipe) -> suite.Suite:
    """Return a suite with the recipe as its only method; its content is a placeholder."""
    METHODS.get(recipe.method)  # raises with the nearest name
    label = recipe.method
    entry: dict[str, Any] = {"use": recipe.method, "params": {}}
    options: dict[tuple[str | int, ...], str] = {("methods", label): f"--method {label}"}
    if recipe.preset is not None:
        entry["preset"] = recipe.preset
        options["methods", label, "preset"] = f"--preset {recipe.preset}"
    if recipe.checkpoint is not None:
        entry["params"]["checkpoint"] = str(recipe.checkpoint)
        options["methods", label] = f"--checkpoint {recipe.checkpoint}"
    data = {
        "version": 1,
        "name": "stylize",
        "contents": {"content": {"builtin": "chelsea"}},
        "styles": {"style": {"builtin": "chelsea"}},
        "methods": {label: entry},
        "seeds": [recipe.seed],
        "metrics": [],
    }
    prefix = f"{label}."
    overrides = [text if text.startswith(prefix) else prefix + text for text in recipe.overrides]
    built = suite.build(data, Path.cwd() / "nstbench stylize", options, overrides)
    name = recipe.style_name or (recipe.style.stem if recipe.style else "")
    source = ImageSource(name, path=recipe.style) if recipe.style else replace(
        built.styles["style"], name=name
    )  # fmt: skip
    return replace(built, contents={}, styles={name: source})


def check(method: Any, recipe: Recipe) -> None:
    """Raise UsageError if a method cannot be used with the options."""
    name = recipe.method
    if method.trains and method.layers:
        raise UsageError(
            f"{name} trains a network for each style first. Train it with a suite (`nstbench run`),"
            " and pass --fit ID, or pass a trained network with --checkpoint PATH."
        )
    if recipe.tile and not isinstance(method, SupportsTiles):
        raise UsageError(
            f"--tile {recipe.tile}: {name} cannot work in tiles. Its losses compare the whole "
            "picture with the style, and each tile would get a style of its own. Pass a smaller "
            "--size, or use a trained network (--fit, --checkpoint)."
        )
    if recipe.style is None and not method.trains:
        raise UsageError(f"{name} requires --style PATH.")
