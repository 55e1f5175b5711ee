"""Error messages for what pydantic finds in a suite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from harness.errors import nearest, quoted
from harness.suite.schema import ClaimModel, ImageModel, MethodModel, SuiteModel, TrainingModel
from harness.suite.source import Key

ENTRIES: Mapping[str | int, type[BaseModel]] = {
    "contents": ImageModel,
    "styles": ImageModel,
    "methods": MethodModel,
    "claims": ClaimModel,
}
"""Keys of a suite that map names to entries of one model."""


def strip_location(loc: tuple[str | int, ...]) -> Key:
    """Remove the parts that pydantic adds to a path: names of union members, `[key]`."""
    return tuple(
        p for p in loc if p not in {"[key]", "str", "dict[str,any]", "MethodModel", "none"}
    )


def keys_at(loc: Key) -> list[str]:
    """Return the allowed keys of the map at `loc` of a suite."""
    if not loc:
        return list(SuiteModel.model_fields)
    if loc == ("training",):
        return list(TrainingModel.model_fields)
    return list(ENTRIES[loc[0]].model_fields) if len(loc) == 2 and loc[0] in ENTRIES else []


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
