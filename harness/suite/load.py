"""The file, a profile laid over it, and `--set` over both."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.errors import Problem, SuiteError, nearest
from harness.suite import marked_yaml
from harness.suite.check import Checker
from harness.suite.marked_yaml import Key, Source, dotted
from harness.suite.schema import MethodModel, Suite, SuiteModel


def load(path: Path, profile: str = "", overrides: Iterable[str] = ()) -> Suite:
    """Read and check a suite.

    Args:
        path: The YAML file; paths in it are relative to its folder.
        profile: Which of its profiles to apply; none where empty.
        overrides: `key=value`, as given to `--set`; `gatys.iterations=50` is short for
            `methods.gatys.params.iterations=50`.

    Raises:
        SuiteError: Everything that is wrong with it.
    """
    data, source = marked_yaml.load(path)
    if not isinstance(data, dict):
        raise SuiteError([Problem(str(path), "is not a map of keys to values; see the README.")])
    given = data.get("profiles")
    profiles: dict[str, Any] = given if isinstance(given, dict) else {}
    if profile and profile not in profiles:
        known = ", ".join(profiles) or "none"
        raise SuiteError(
            [Problem("--profile", f"{profile!r} is not a profile of {path}: {known}."
                     f"{nearest(profile, profiles)}")]
        )  # fmt: skip
    problems: dict[str, Problem] = {}
    suite = None
    # The other profiles are checked too: a mistake should not wait for the day they are used.
    for name in [profile, *(p for p in profiles if p != profile)]:
        merged, place = _with_profile(data, source, name)
        _override(merged, place, overrides, problems)
        checker = Checker(merged, place, path)
        built = checker.check(name)
        problems.update({str(p): p for p in checker.problems})
        suite = suite or built
    if problems or suite is None:
        raise SuiteError(problems.values())
    return suite


def _with_profile(data: dict[str, Any], source: Source, name: str) -> tuple[dict[str, Any], Source]:
    merged = copy.deepcopy(data)
    place = copy.copy(source)
    place.moved, place.options = {}, {}
    layer = merged.get("profiles", {}).get(name) if name else None
    if isinstance(layer, dict):
        _merge(merged, layer, (), ("profiles", name), place)
    return merged, place


def _merge(
    base: dict[str, Any], layer: dict[str, Any], key: Key, origin: Key, place: Source
) -> None:
    """Lay a profile over the suite: maps merge, everything else is replaced."""
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
        option = f"--set {text}"
        name, equals, value = text.partition("=")
        if not equals:
            problems[option] = Problem(option, "has no `=`. Write --set key=value.")
            continue
        key: Key = tuple(int(p) if p.isdigit() else p for p in name.strip().split("."))
        if key[0] not in SuiteModel.model_fields and key[0] in (data.get("methods") or {}):
            inner = (
                key[1:] if key[1:2] and key[1] in MethodModel.model_fields else ("params", *key[1:])
            )
            key = ("methods", key[0], *inner)
        try:
            parsed = marked_yaml.parse(value)
            _assign(data, key, parsed)
        except SuiteError as error:
            problems[option] = Problem(option, error.problems[0].what)
        except (KeyError, TypeError, IndexError):
            problems[option] = Problem(
                option, f"{dotted(key)} does not exist.{nearest(str(key[0]), _known_heads(data))}"
            )
        else:
            place.options[key] = option


def _known_heads(data: dict[str, Any]) -> list[str]:
    return [*SuiteModel.model_fields, *(data.get("methods") or {})]


def _assign(data: Any, key: Key, value: Any) -> None:
    if key[0] not in SuiteModel.model_fields:
        raise KeyError(key[0])
    for part, following in itertools.pairwise(key):
        if isinstance(data, dict):
            if data.get(part) is None:
                data[part] = [] if isinstance(following, int) else {}
            data = data[part]
        else:
            data = data[part]
    data[key[-1]] = value
