"""The matrix of a method: its axes on all pairs, sizes and seeds, after exclude and include."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.suite import MAX_CELLS, PLACES, MethodSpec, Suite


@dataclass
class Combination:
    """One point of a method's matrix."""

    levels: dict[str, Any]  # named in the variant
    place: dict[str, Any]  # content, style, seed, size
    extra: dict[str, Any] = field(default_factory=dict)  # added by an include, not in the name

    def agrees(self, entry: Mapping[str, Any], *, keys: Iterable[str] | None = None) -> bool:
        """Return True if each key of an exclude or include entry has this combination's value.

        Args:
            entry: From the suite.
            keys: Compare these keys only.
        """
        own = {**self.levels, **self.place}
        compared = entry if keys is None else [key for key in entry if key in keys]
        return all(key in own and _matches(own[key], entry[key]) for key in compared)


def combinations(suite: Suite, spec: MethodSpec) -> list[Combination]:
    """Return a method's matrix after exclude and include, as in GitHub Actions.

    An `include` whose values agree with a combination adds its other keys to it. One that agrees
    with none is a new combination on all pairs, sizes and seeds that it does not name.

    Raises:
        SuiteError: Includes add more cells than a plan can have.
    """
    places = [
        {"content": content, "style": style, "seed": seed, "size": size}
        for content, style in suite.pairs
        for size in suite.sizes
        for seed in suite.seeds
    ]
    matrix = [
        Combination(levels, place)
        for place in places
        for levels in _levels(spec)
        if not any(
            Combination({**levels, "method": spec.label}, place).agrees(entry)
            for entry in suite.exclude
        )
    ]
    original = {*spec.axes, *PLACES[1:]}
    for include in suite.include:
        if include.get("method") != spec.label:
            continue
        entry = {key: value for key, value in include.items() if key != "method"}
        matches = [
            combination for combination in matrix if combination.agrees(entry, keys=original)
        ]
        for combination in matches:
            combination.extra |= {k: v for k, v in entry.items() if k not in original}
        if not matches:
            matrix += _added(suite, entry)
            check_size(suite, len(matrix))
    return matrix


def check_size(suite: Suite, cells: int) -> None:
    """Raise SuiteError if includes make a plan too large; the suite's own matrix was checked."""
    if cells > MAX_CELLS:
        raise suite.problem(("include",), f"makes more than the {MAX_CELLS:,} cells of a plan.")


def _levels(spec: MethodSpec) -> list[dict[str, Any]]:
    axes = list(spec.axes)
    if spec.vary == "product":
        return [
            dict(zip(axes, values, strict=True))
            for values in itertools.product(*spec.axes.values())
        ]
    baseline = {axis: values[0] for axis, values in spec.axes.items()}
    others = [{**baseline, axis: v} for axis, values in spec.axes.items() for v in values[1:]]
    return [baseline, *others]


def _matches(value: Any, allowed: Any) -> bool:
    """Return True if a value is the allowed one, or in the list of them; True is not 1."""
    choices = allowed if isinstance(allowed, list) and not isinstance(value, list) else [allowed]
    return any((value == one and type(value) is not bool) or value is one for one in choices)


def _added(suite: Suite, entry: Mapping[str, Any]) -> list[Combination]:
    levels = {key: value for key, value in entry.items() if key not in PLACES}
    places = itertools.product(
        [
            {"content": content, "style": style}
            for content, style in suite.pairs
            if _matches(content, entry.get("content", content))
            and _matches(style, entry.get("style", style))
        ],
        dict.fromkeys(_as_list(entry.get("size", suite.sizes))),
        dict.fromkeys(_as_list(entry.get("seed", suite.seeds))),
    )
    return [
        Combination(levels, {**pair, "seed": seed, "size": size}) for pair, size, seed in places
    ]


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]
