"""What the sources of one page do not share, so that some of their numbers do not compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from harness.analysis.table import plain
from harness.records import EncoderUse, Record, Score
from reports.formatting.numbers import NONE
from reports.merged_runs import AT, Part, recipe

Split: TypeAlias = Mapping[str, Sequence[str]]
"""The labels of sources by what they have, where that is not the same in all."""


def scores(parts: Sequence[Part]) -> dict[str, Split]:
    """Return the judges by the name of each score that did not have the same one everywhere."""
    names = dict.fromkeys(s.name for p in parts for r in p.found.values() for s in r.scores)
    found = {name: _split(parts, partial(judges, name)) for name in names}
    return {name: split for name, split in found.items() if split}


def hardware(parts: Sequence[Part]) -> Split:
    """Return what cells were computed on: times and memory hang on it."""
    return _split(parts, machines)


def judges(name: str, records: Iterable[Record]) -> frozenset[str]:
    """Return what a score was seen through, with its weights and in which version."""
    found = (score for record in records if (score := record.score(name)))
    return frozenset(_judge(score) for score in found if score.value is not None)


def machines(records: Iterable[Record]) -> frozenset[str]:
    """Return what records were made on."""
    return frozenset(map(_machine, records))


def warnings(parts: Sequence[Part]) -> Iterator[str]:
    """Say what does not compare from source to source, and why."""
    same: dict[str, list[str]] = {}
    for name, judged in scores(parts).items():
        same.setdefault(_said(judged), []).append(name)
    for said, names in same.items():
        does = "does" if len(names) == 1 else "do"
        yield f"{_listed(names)} had different judges, and {does} not compare: {said}."
    if split := hardware(parts):
        yield f"Times and memory do not compare: they are of {_said(split)}."
    if split := _split(parts, _precisions):
        yield f"The precision is {_said(split)}: scores and times differ by that too."
    if split := _grouped({part.label: _network(part.plan.encoder) for part in parts}):
        yield f"The encoder is {_said(split)}: methods did not minimise the same losses."


def recipes(parts: Sequence[Part]) -> dict[str, list[str]]:
    """Return the variants that are not the same recipe in all sources, by what is different."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for part in parts for name in part.variants):
        own = {part.label: facts for part in parts if (facts := _recipe(part, name))}
        keys = dict.fromkeys(key for facts in own.values() for key in facts)
        splits = {key: _grouped({at: of.get(key, NONE) for at, of in own.items()}) for key in keys}
        changes = [f"{key} {_said(split)}" for key, split in splits.items() if split]
        if changes:
            found.setdefault("; ".join(changes), []).append(name)
    return found


def aliases(parts: Sequence[Part]) -> dict[str, list[str]]:
    """Return the variants that some source knows by another name, with that name and source."""
    found: dict[str, list[str]] = {}
    for part in parts:
        for own, name in part.variants.items():
            if own != name.partition(AT)[0]:
                found.setdefault(name, []).append(f"{own} in {part.label}")
    return found


def _judge(score: Score) -> str:
    weights = f"weights {score.lens_sha256[:12]}" if score.lens_sha256 else ""
    version = f"version {score.version}" if score.version > 1 else ""
    more = ", ".join(filter(None, (weights, version)))
    return f"{score.lens} ({more})" if more else score.lens


def _precisions(records: Iterable[Record]) -> frozenset[str]:
    return frozenset(record.cell.precision for record in records)


def _machine(record: Record) -> str:
    """Name what a cell ran on; of a GPU the name says all."""
    cell, facts = record.cell, record.environment
    if cell.device != "cpu":
        return cell.device
    known = {"processor": "", "threads": "threads "}
    named = [f"{words}{facts[name]}" for name, words in known.items() if name in facts]
    return f"{cell.device} ({', '.join(named)})" if named else cell.device


def _network(encoder: EncoderUse) -> str:
    return f"{encoder.name} (weights {encoder.sha256[:12]})"


def _recipe(part: Part, variant: str) -> dict[str, str]:
    """Return the recipe of a variant, flat and in words; of several recipes the first."""
    cell = next((r.cell for r in part.found.values() if r.cell.variant == variant), None)
    if cell is None:
        return {}
    facts: dict[str, Any] = recipe(cell)
    rest = {name: facts[name] for name in ("method", "version", "precision", "device")}
    files = {name: sha256[:12] for name, sha256 in cell.files.items()}
    training = {"training": cell.training.sha256[:12]} if cell.training else {}
    own = {**rest, "encoder": _network(cell.encoder), **training, **facts["params"], **files}
    return {name: plain(value) for name, value in own.items()}


def _split(parts: Sequence[Part], facts: Callable[[Iterable[Record]], frozenset[str]]) -> Split:
    """Return the labels by what their records have, where that is not the same in all."""
    return _grouped({p.label: " and ".join(sorted(facts(p.found.values()))) for p in parts})


def _grouped(facts: Mapping[str, str]) -> Split:
    """Return the labels by a fact that is not the same in all that have it; else nothing."""
    found: dict[str, list[str]] = {}
    for label, fact in facts.items():
        if fact:
            found.setdefault(fact, []).append(label)
    return found if len(found) > 1 else {}


def _said(split: Split) -> str:
    return ", ".join(f"{fact} in {_listed(labels)}" for fact, labels in split.items())


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
