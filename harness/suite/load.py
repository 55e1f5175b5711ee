"""Load a suite file, then apply a profile and `--set` options."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import MAX_PROBLEMS, Problem, SuiteError, listed, nearest, quoted
from harness.suite import collection, yaml_loader
from harness.suite.schema import MethodModel, Suite, SuiteModel
from harness.suite.source import Key, Source
from harness.suite.validation import Checker
from harness.suite.yaml_loader import MAX_DEPTH, MAX_KEY_LENGTH, UNPRINTABLE

MAX_PROFILES = 32
"""Each profile costs one check of the whole suite."""


def load(path: Path, profile: str = "", overrides: Iterable[str] = ()) -> Suite:
    """Read and check a suite.

    Args:
        path: The YAML file; paths in it are relative to its folder.
        profile: Name of the profile to apply; empty applies none.
        overrides: Values of `--set key=value`; `gatys.iterations=50` is short for
            `methods.gatys.params.iterations=50`.

    Raises:
        SuiteError: The suite has mistakes; the error lists all of them.
    """
    data, source = yaml_loader.load(path)
    if not isinstance(data, dict):
        raise SuiteError([source.problem((), "is not a map of keys to values.")])
    given = data.get("profiles")
    profiles: dict[str, Any] = given if isinstance(given, dict) else {}
    if len(profiles) > MAX_PROFILES:
        what = f"has {len(profiles):,} entries; the maximum is {MAX_PROFILES}."
        raise SuiteError([source.problem(("profiles",), what)])
    if profile and profile not in profiles:
        known = listed(profiles) or "none"
        raise SuiteError(
            [Problem("--profile", f"{quoted(profile)} is not a profile of {path}: {known}."
                     f"{nearest(profile, profiles)}")]
        )  # fmt: skip
    problems: dict[str, Problem] = {}
    suite = None
    read = functools.cache(collection.read)  # profiles share collections
    # Check the other profiles too, so that a mistake is found before a run uses them.
    for name in [profile, *(p for p in profiles if p != profile)]:
        merged, place = _with_profile(data, source, name)
        _override(merged, place, overrides, problems)
        checker = Checker(merged, place, path, read)
        built = checker.check(name)
        problems.update({str(p): p for p in checker.problems})
        suite = suite or built
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems or suite is None:
        raise SuiteError(problems.values())
    return suite


def build(
    data: dict[str, Any], path: Path, options: Mapping[Key, str], overrides: Iterable[str]
) -> Suite:
    """Check a suite that is in no file.

    Args:
        data: As in a file.
        path: Name for messages; paths in `data` are relative to its folder.
        options: The option of the command line that set a value, for messages.
        overrides: As for `load`.

    Raises:
        SuiteError: The suite has mistakes; the error lists all of them.
    """
    source, problems = Source(path.name, options=dict(options)), dict[str, Problem]()
    _override(data, source, overrides, problems)
    checker = Checker(data, source, path, collection.read)
    suite = checker.check("")
    if problems or suite is None:
        raise SuiteError([*problems.values(), *checker.problems])
    return suite


def _with_profile(data: dict[str, Any], source: Source, name: str) -> tuple[dict[str, Any], Source]:
    merged = copy.deepcopy(data)
    place = copy.copy(source)
    place.moved, place.options = {}, {}
    layer = (
        data["profiles"][name] if name else None
    )  # from `data`: a profile may overwrite `profiles` in `merged`
    if isinstance(layer, dict):
        _merge(merged, layer, (), ("profiles", name), place)
    return merged, place


def _merge(
    base: dict[str, Any], layer: dict[str, Any], key: Key, origin: Key, place: Source
) -> None:
    """Apply a profile to the suite: merge maps, replace everything else."""
    for name, value in layer.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            _merge(base[name], value, (*key, name), (*origin, name), place)
        else:
            base[name] = copy.deepcopy(value)
            _move(value, (*key, name), (*origin, name), place)


def _move(value: Any, key: Key, origin: Key, place: Source) -> None:
    place.moved[key] = origin
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, inner in items:
        _move(inner, (*key, name), (*origin, name), place)


def _override(
    data: dict[str, Any], place: Source, overrides: Iterable[str], problems: dict[str, Problem]
) -> None:
    for text in overrides:
        option = f"--set {text if len(text) <= MAX_KEY_LENGTH else f'{text[:MAX_KEY_LENGTH]}...'}"
        name, equals, value = text.partition("=")
        if not equals:
            problems[option] = Problem(option, "has no `=`. Write --set key=value.")
            continue
        parts = _expand_path(name.strip().split("."), data)
        try:
            place.options[_assign(data, parts, yaml_loader.parse(value))] = option
        except SuiteError as error:
            problems[option] = Problem(option, error.problems[0].what)
        except (KeyError, TypeError, IndexError, ValueError):
            what = f"{quoted('.'.join(parts))} does not exist."
            known = [*SuiteModel.model_fields, *_labels(data)]
            problems[option] = Problem(option, what + nearest(parts[0], known))


def _expand_path(parts: list[str], data: dict[str, Any]) -> list[str]:
    """Expand `gatys.iterations` to `methods.gatys.params.iterations`."""
    label, *inner = parts
    if label in SuiteModel.model_fields or label not in _labels(data):
        return parts
    own = inner[:1] and inner[0] in MethodModel.model_fields
    return ["methods", label, *([] if own else ["params"]), *inner]


def _labels(data: dict[str, Any]) -> list[str]:
    methods = data.get("methods")
    return list(methods) if isinstance(methods, dict) else []


def _assign(data: Any, parts: list[str], value: Any) -> Key:
    """Set a value, and create missing maps on the way.

    Returns:
        The path of the first part that did not exist before.
    """
    if parts[0] not in SuiteModel.model_fields or len(parts) > MAX_DEPTH:
        raise KeyError(parts[0])
    key: list[str | int] = []
    made = len(parts)
    for part in parts:
        if len(part) > MAX_KEY_LENGTH or UNPRINTABLE.search(part):
            raise KeyError(part)
        key.append(int(part) if isinstance(data, list) and part.isdecimal() else part)
        if len(key) == len(parts):
            data[key[-1]] = value
        elif isinstance(data, dict) and data.get(part) is None:
            made = min(made, len(key))
            data[part] = data = {}
        else:
            data = data[key[-1]]
    return tuple(key[:made])
