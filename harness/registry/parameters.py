"""Descriptions of the parameters of methods and metrics, from their source code.

The description of a parameter is the string literal below its field. Source files are parsed, and
nothing is imported for it.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from harness.registry import class_rules
from harness.registry.registry import settings

BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
TYPES = {"string": "text", "boolean": "true or false", "object": "mapping"}


@dataclass(frozen=True)
class Parameter:
    """A parameter that a suite can set."""

    name: str
    default: Any
    about: str  # in one line; empty if the class does not describe it

    @property
    def value(self) -> str:
        """The default as in a suite."""
        return self.default if isinstance(self.default, str) else json.dumps(self.default)


def parameters(cls: type[Any]) -> list[Parameter]:
    """Return the parameters of a class in the order of its fields."""
    own = settings(cls)
    return [
        Parameter(field.name, class_rules.default(field), _about(cls, field.name))
        for field in dataclasses.fields(cls)
        if field.name in own
    ]


def allowed(cls: type[Any]) -> dict[str, str]:
    """Return the allowed values of each parameter: choices, or a type with its range.

    Takes milliseconds, since pydantic compiles the annotations.
    """
    try:
        schema: Mapping[str, Any] = TypeAdapter(cls).json_schema()
    except PydanticUserError:  # an annotation has no JSON schema
        return {}
    kinds = schema.get("$defs", {})
    return {name: _allowed(schema["properties"].get(name, {}), kinds) for name in settings(cls)}


def summary(text: str | None) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def source(cls: type[Any]) -> str:
    """Return the docstring of the module of a class, which cites its sources."""
    return inspect.cleandoc(sys.modules[cls.__module__].__doc__ or "")


def _about(cls: type[Any], name: str) -> str:
    """Return the description next to the first definition of a field in a class or its bases."""
    texts = (_descriptions(base.__module__, base.__name__).get(name) for base in cls.__mro__)
    return summary(next(filter(None, texts), ""))


@lru_cache
def _descriptions(module: str, class_name: str) -> Mapping[str, str]:
    for node in ast.walk(_parsed(module)):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            pairs = zip(node.body, node.body[1:], strict=False)
            return {
                field.target.id: text.value.value
                for field, text in pairs
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            }  # fmt: skip
    return {}


@lru_cache
def _parsed(module: str) -> ast.Module:
    with suppress(OSError, TypeError, KeyError, SyntaxError):  # built in, or without a source file
        return ast.parse(inspect.getsource(sys.modules[module]))
    return ast.Module([], [])


def _allowed(schema: Mapping[str, Any], kinds: Mapping[str, Any], plural: str = "") -> str:
    if "$ref" in schema:
        return _allowed(kinds.get(schema["$ref"].rpartition("/")[2], {}), kinds, plural)
    if "anyOf" in schema:
        return ", or ".join(dict.fromkeys(_allowed(one, kinds) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(map(str, schema.get("enum", [schema.get("const")])))
    kind = str(schema.get("type", ""))
    if kind == "array":
        items = _allowed(schema.get("items", {}), kinds, plural="s")
        return f"list of {items}" if items else "list"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema]
    name = TYPES.get(kind, kind + plural)
    return " ".join(filter(None, (name, " and ".join(bounds))))
