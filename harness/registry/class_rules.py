"""Rules for the classes of methods and metrics, checked at registration."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from harness.protocols import Method, Metric
from harness.registry.diagnostics import ValidationIssue, describe_exception

BASES: dict[str, type[Any]] = {"method": Method, "metric": Metric}
REQUIRED = {"method": ("fit",), "metric": ("unit", "better", "lens", "__call__")}


def check_class(cls: type[Any], kind: str) -> list[ValidationIssue]:
    """Return the issues that prevent the registration of a class. Takes microseconds."""
    if issues := [*check_frozen(cls), *check_base(cls, kind)]:
        return issues
    return [
        *check_version(cls),
        *check_defaults(cls),
        *check_presets(cls),
        *check_members(cls, kind),
    ]


def check_frozen(cls: type[Any]) -> Iterator[ValidationIssue]:
    """Check that the class is a frozen dataclass."""
    params = getattr(cls, "__dataclass_params__", None)
    if not isinstance(cls, type) or params is None or not params.frozen:
        name = getattr(cls, "__qualname__", repr(cls))
        yield ValidationIssue(
            f"{name} is not a frozen dataclass",
            "Add @dataclass(frozen=True, kw_only=True) between the class and the decorator that "
            "registers it.",
        )


def check_base(cls: type[Any], kind: str) -> Iterator[ValidationIssue]:
    """Check that the class inherits from the base class of its kind."""
    base = BASES[kind]
    if not isinstance(cls, type) or not issubclass(cls, base):
        name = getattr(cls, "__qualname__", repr(cls))
        yield ValidationIssue(
            f"{name} does not inherit from harness.protocols.{base.__name__}",
            f"Write class {name}({base.__name__}).",
        )


def check_version(cls: type[Any]) -> Iterator[ValidationIssue]:
    """Check that the class has an integer version that is not a parameter."""
    remedy = "Write version: ClassVar[int] = 1, and raise it when results change."
    if any(field.name == "version" for field in dataclasses.fields(cls)):
        yield ValidationIssue("version is a parameter instead of a class variable", remedy)
    elif not hasattr(cls, "version"):
        yield ValidationIssue("it has no version", remedy)
    elif not isinstance(cls.version, int):
        yield ValidationIssue(f"its version is {cls.version!r}, not an integer", remedy)


def check_defaults(cls: type[Any]) -> Iterator[ValidationIssue]:
    """Check that every parameter has a default that can be stored as JSON."""
    for field in dataclasses.fields(cls):
        if field.default is MISSING and field.default_factory is MISSING:
            yield ValidationIssue(
                f"its parameter {field.name} has no default",
                "Give every parameter a default: a suite may set none of them.",
            )
            continue
        try:
            json.dumps(default(field), allow_nan=False)
        except Exception as error:  # a default factory can raise any exception
            yield ValidationIssue(
                f"the default of its parameter {field.name} cannot be stored as JSON: "
                f"{describe_exception(error)}",
                "Use finite numbers, strings, booleans, None, or tuples and mappings of them.",
            )


def check_presets(cls: type[Any]) -> Iterator[ValidationIssue]:
    """Check that the presets, if any, map names to mappings of parameters."""
    remedy = 'Write presets: ClassVar = {"name": {"parameter": value}}.'
    try:
        presets = cls.presets if issubclass(cls, Method) else {}
        for name, params in presets.items():
            if not isinstance(name, str) or not isinstance(params, Mapping):
                yield ValidationIssue(
                    f"its preset {name!r} does not map a name to a mapping of parameters", remedy
                )
        json.dumps({name: dict(params) for name, params in presets.items()}, allow_nan=False)
    except Exception as error:
        yield ValidationIssue(
            f"its presets cannot be stored as JSON: {describe_exception(error)}", remedy
        )


def check_members(cls: type[Any], kind: str) -> Iterator[ValidationIssue]:
    """Check that the class defines the required members of its kind."""
    for name in REQUIRED[kind]:
        if not hasattr(cls, name) or name in cls.__abstractmethods__:
            yield ValidationIssue(
                f"it does not define {name}",
                f"harness/protocols/ lists the members that a {kind} must define.",
            )


def check_construction(cls: type[Any]) -> Iterator[ValidationIssue]:
    """Check that defaults are valid, can be stored and loaded, and give an instance.

    Takes milliseconds, since pydantic compiles the annotations.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(cls)
        instance = adapter.validate_json("{}")
        loaded = adapter.validate_json(json.dumps(dataclasses.asdict(instance)))
        if isinstance(instance, Method):
            tuple(instance.layers), dict(instance.stand_in_layers), dict(instance.files)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        yield ValidationIssue(
            f"its defaults are invalid: {name}: {first['msg']}",
            "Make each default match the annotation of its parameter.",
        )
    except PydanticUserError as error:
        yield ValidationIssue(
            f"its parameters cannot be validated: {_describe_annotation_error(cls, error)}",
            "Annotate them with types that JSON supports, imported at run time and not under "
            "TYPE_CHECKING.",
        )
    except Exception as error:  # from __post_init__ or a property
        yield ValidationIssue(
            f"it cannot be constructed from its defaults: {describe_exception(error)}",
            "Fix its __post_init__ or the property that raises this error.",
        )
    else:
        if dataclasses.asdict(instance) != dataclasses.asdict(loaded):
            yield ValidationIssue(
                "its defaults change when they are stored as JSON and loaded",
                "Annotate each parameter with a type that JSON preserves.",
            )


def _describe_annotation_error(cls: type[Any], error: PydanticUserError) -> str:
    """Describe an annotation that pydantic does not support, in one sentence."""
    try:
        typing.get_type_hints(cls)
    except Exception as unresolved:
        return describe_exception(unresolved)
    return str(error).partition(". ")[0]


def default(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a parameter."""
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
