"""Limits on the size of a suite, checked before the plan is built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import quoted
from harness.suite.schema import MethodSpec, SuiteModel
from harness.suite.source import Key

MAX_CELLS = 100_000
"""A plan of this size takes seconds and a gigabyte of memory."""

MAX_PARAMETER_LENGTH = 5000
"""Characters. Each value of an axis is validated together with all parameters."""


def too_long(spec: MethodSpec) -> Iterator[tuple[Key, str]]:
    """Yield each value that exceeds MAX_PARAMETER_LENGTH, with its path in the method."""
    values: dict[Key, Any] = {("params", name): value for name, value in spec.params.items()}
    for axis, levels in spec.axes.items():
        values |= {("axes", axis, i): level for i, level in enumerate(levels)}
    for place, value in values.items():
        if (length := len(repr(value))) > MAX_PARAMETER_LENGTH:
            what = f"has {length:,} characters; the maximum is {MAX_PARAMETER_LENGTH:,}."
            yield place, what


def too_many_cells(model: SuiteModel, methods: Sequence[MethodSpec]) -> Iterator[tuple[Key, str]]:
    """Yield each list that makes too many cells, with its path; excludes are not subtracted."""
    pairs = len(model.contents) * len(model.styles) if model.pairs is None else len(model.pairs)
    variants = sum(map(_variants, methods))
    # If no method is valid, the pairs alone must still stay within the limit.
    cells = pairs * len(model.sizes) * len(model.seeds) * max(1, variants)
    if cells > MAX_CELLS:
        what = (
            f"{pairs:,} pairs, {len(model.sizes):,} sizes, {len(model.seeds):,} seeds and "
            f"{variants:,} variants make {cells:,} cells before excludes; the maximum is "
            f"{MAX_CELLS:,}. Shorten the lists, or set `vary: one-at-a-time`."
        )
        yield ("methods",), what
    named = {"content": model.contents, "style": model.styles}
    listed = {"size": model.sizes, "seed": model.seeds}
    for i, entry in enumerate(model.include):
        at = min(pairs, math.prod(_number(entry, kind, own) for kind, own in named.items()))
        cells = at * math.prod(_number(entry, kind, own) for kind, own in listed.items())
        if cells > MAX_CELLS:
            yield ("include", i), f"adds {cells:,} cells; the maximum is {MAX_CELLS:,}."


def _variants(spec: MethodSpec) -> int:
    numbers = [len(values) for values in spec.axes.values()]
    return math.prod(numbers) if spec.vary == "product" else 1 + sum(n - 1 for n in numbers)


def _number(entry: Mapping[str, Any], kind: str, own: Sequence[Any] | Mapping[str, Any]) -> int:
    value = entry.get(kind, own)
    return len(value) if isinstance(value, (list, dict)) else 1


def repeated(model: SuiteModel) -> Iterator[tuple[Key, str]]:
    """Yield duplicate list entries: their cells would run twice and count double."""
    lists: dict[Key, list[Any]] = {
        ("seeds",): model.seeds,
        ("sizes",): model.sizes,
        ("pairs",): [*(model.pairs or [])],
        ("metrics",): [*model.metrics],
    }
    for label, method in model.methods.items():
        for axis, values in method.axes.items() if method else ():
            lists["methods", label, "axes", axis] = values
    for key, values in lists.items():
        seen: set[str] = set()
        for i, value in enumerate(values):
            if repr(value) in seen:
                yield (*key, i), f"{quoted(value)} is listed twice. Remove one."
            seen.add(repr(value))
