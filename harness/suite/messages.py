"""Error messages for what pydantic finds in a suite."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from harness.errors import nearest, quoted
from harness.suite.schema import ImageModel, MethodModel, SuiteModel, TrainingModel
from harness.suite.source import Key


def strip_location(loc: tuple[str | int, ...]) -> Key:
    """Remove the parts that pydantic adds to a path: names of union members, `[key]`."""
    return tuple(
        p for p in loc if p not in {"[key]", "str", "dict[str,any]", "MethodModel", "none"}
    )


def keys_at(loc: Key) -> list[str]:
    """Return the allowed keys of the map at `loc` of a suite."""
    if loc[:1] in {("contents",), ("styles",)} and len(loc) == 2:
        return list(ImageModel.model_fields)
    if loc[:1] == ("methods",) and len(loc) == 2:
        return list(MethodModel.model_fields)
    if loc[:1] == ("training",):
        return list(TrainingModel.model_fields)
    return list(SuiteModel.model_fields) if not loc else []


def describe(item: Any, fields: Sequence[str]) -> str:
    """Return the message for one of pydantic's errors; `fields` are the allowed keys there."""
    kind, value, last = item["type"], item["input"], str(item["loc"][-1]) if item["loc"] else ""
    shown = quoted(value)
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{quoted(last)} is not a known key: {', '.join(fields)}.{nearest(last, fields)}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", item["ctx"]["expected"]) or [item["ctx"]["expected"]]
        return f"{shown} is not one of {', '.join(choices)}.{nearest(str(value), choices)}"
    if kind == "missing":
        return "is missing."
    if kind == "value_error":
        return f"{item['ctx']['error']}".rstrip(".?") + (
            "?" if str(item["ctx"]["error"]).endswith("?") else "."
        )
    if kind == "string_pattern_mismatch":
        return f"{shown} does not match {item['ctx']['pattern']}."
    message = item["msg"][0].lower() + item["msg"][1:]
    if message.startswith("input should be"):
        return f"{shown} {message.removeprefix('input ')}."
    return f"{shown}: {message}."
