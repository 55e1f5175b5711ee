"""Name the variants of a suite after what sets them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.suite import MethodSpec

UNCLEAR_ALONE = {"none", "auto", "mean", "sum"}
"""Values that several parameters have: the name of the parameter is added."""


def variant_name(spec: MethodSpec, levels: Mapping[str, Any]) -> str:
    """Return a variant's name, its label with its levels: `johnson[batch,tv_weight=0]`.

    If the suite varies one axis at a time, only levels other than the baseline's are part of it.
    """
    baseline = (
        {axis: values[0] for axis, values in spec.axes.items()}
        if spec.vary == "one-at-a-time"
        else {}
    )
    texts = [
        _format_level(axis, value)
        for axis, value in levels.items()
        if value is not None and (axis not in baseline or value != baseline[axis])
    ]
    return f"{spec.label}[{','.join(texts)}]" if texts else spec.label


def _format_level(axis: str, value: Any) -> str:
    if isinstance(value, str) and value not in UNCLEAR_ALONE:
        return value
    if isinstance(value, (list, tuple)):
        return f"{axis}={'+'.join(map(str, value))}"
    return f"{axis}={value:g}" if isinstance(value, float) else f"{axis}={value}"
