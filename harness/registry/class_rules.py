"""What a registered class must look like before anything can be done with it."""

from __future__ import annotations

import dataclasses
import json
import traceback
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from harness.protocols import Method, Metric


@dataclass(frozen=True)
class ValidationIssue:
    """Something that is not as it must be: what is wrong, what would be right."""

    what: str
    remedy: str


Rule: TypeAlias = Callable[[type[Any]], Iterator[ValidationIssue]]

BASES: dict[str, type[Any]] = {"method": Method, "metric": Metric}
REQUIRED = {"method": ("fit",), "metric": ("unit", "better", "lens", "__call__")}


def flaws(cls: type[Any], kind: str) -> list[ValidationIssue]:
    """Return what stands in the way of naming a class in a list or a suite; takes microseconds."""
    if found := [*frozen(cls), *inherits(cls, kind)]:
        return found
    return [flaw for rule in (versioned, defaults, presets, *needs(kind)) for flaw in rule(cls)]


def frozen(cls: type[Any]) -> Iterator[ValidationIssue]:
    """It is a frozen dataclass."""
    kind = getattr(cls, "__dataclass_params__", None)
    if not isinstance(cls, type) or kind is None or not kind.frozen:
        name = getattr(cls, "__qualname__", repr(cls))
        yield ValidationIssue(f"{name} is not a frozen dataclass",
                   "Put @dataclass(frozen=True, kw_only=True) right above the class, and the line "
                   "that registers it above that.")  # fmt: skip


def inherits(cls: type[Any], kind: str) -> Iterator[ValidationIssue]:
    """Check that it inherits from the base class of its kind."""
    base = BASES[kind]
    if not isinstance(cls, type) or not issubclass(cls, base):
        name = getattr(cls, "__qualname__", repr(cls))
        yield ValidationIssue(
            f"{name} does not inherit from {base.__module__}.{base.__qualname__}",
            f"Write class {name}({base.__name__}).",
        )


def versioned(cls: type[Any]) -> Iterator[ValidationIssue]:
    """It has a version, which is a whole number and no parameter."""
    right = "Write version: ClassVar[int] = 1, and raise it when results move."
    if any(field.name == "version" for field in dataclasses.fields(cls)):
        yield ValidationIssue("version is one of its parameters", right)
    elif not hasattr(cls, "version"):
        yield ValidationIssue("it has no version", right)
    elif not isinstance(cls.version, int):
        yield ValidationIssue(f"its version is {cls.version!r}, not a whole number", right)


def defaults(cls: type[Any]) -> Iterator[ValidationIssue]:
    """Every parameter has a default that JSON can hold."""
    for field in dataclasses.fields(cls):
        if field.default is MISSING and field.default_factory is MISSING:
            yield ValidationIssue(f"its parameter {field.name} has no default",
                       "Give it one: a method runs by its name alone.")  # fmt: skip
            continue
        try:
            json.dumps(default(field), allow_nan=False)
        except Exception as error:  # a factory of a stranger's may raise anything
            why = f"cannot be written as JSON: {last_line(error)}"
            yield ValidationIssue(f"the default of its parameter {field.name} {why}",
                       "Numbers, strings, booleans, tuples and maps of them will do.")  # fmt: skip


def presets(cls: type[Any]) -> Iterator[ValidationIssue]:
    """Its presets, if it has any, are maps of parameters by name."""
    right = 'Write presets: ClassVar = {"name": {"parameter": value}}.'
    try:
        found = cls.presets if issubclass(cls, Method) else {}
        for name, params in found.items():
            if not isinstance(name, str) or not isinstance(params, Mapping):
                yield ValidationIssue(f"its preset {name!r} is not a map of parameters", right)
        json.dumps({name: dict(params) for name, params in found.items()}, allow_nan=False)
    except Exception as error:
        yield ValidationIssue(
            f"its presets are not maps that JSON can hold: {last_line(error)}", right
        )


def needs(kind: str) -> Iterator[Rule]:
    """It has what is called or read of every one of its kind."""
    for name in REQUIRED[kind]:

        def there(cls: type[Any], name: str = name) -> Iterator[ValidationIssue]:
            if not hasattr(cls, name) or name in cls.__abstractmethods__:
                yield ValidationIssue(
                    f"it has no {name}", f"harness/protocols.py says what a {kind} has."
                )

        yield there


def built(cls: type[Any]) -> Iterator[ValidationIssue]:
    """It can be made from its defaults, they from a record, and its parameters are checked.

    Takes milliseconds: annotations become validators.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(cls)
        made = adapter.validate_json("{}")
        again = adapter.validate_json(json.dumps(dataclasses.asdict(made)))
        if isinstance(made, Method):
            tuple(made.layers), dict(made.stand_in_layers), dict(made.files)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(map(str, first["loc"]))
        yield ValidationIssue(f"its own defaults are refused: {at}: {first['msg']}",
                   "Give each parameter a default of its own type.")  # fmt: skip
    except PydanticUserError as error:
        yield ValidationIssue(f"its parameters cannot be checked: {_unreadable(cls, error)}",
                   "Annotate them with types that JSON has, imported at run time, not under "
                   "TYPE_CHECKING.")  # fmt: skip
    except Exception as error:  # of its __post_init__ or of a property
        yield ValidationIssue(f"it cannot be made from its defaults: {last_line(error)}",
                   "Mend its __post_init__ or that property.")  # fmt: skip
    else:
        if dataclasses.asdict(made) != dataclasses.asdict(again):
            yield ValidationIssue("its defaults do not come back from a record as they were",
                       "Give each parameter a type that JSON has.")  # fmt: skip


def _unreadable(cls: type[Any], error: PydanticUserError) -> str:
    """Say in few words which annotation pydantic stumbles over."""
    try:
        typing.get_type_hints(cls)
    except Exception as unknown:
        return last_line(unknown)
    return str(error).partition(". ")[0]


def default(field: dataclasses.Field[Any]) -> Any:
    """Return what a parameter is where nobody says."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def last_line(error: BaseException) -> str:
    """Return `Kind: message` as a traceback ends with it, one line of it."""
    lines = traceback.format_exception_only(error)
    return lines[-1 if isinstance(error, SyntaxError) else 0].strip().splitlines()[0]
