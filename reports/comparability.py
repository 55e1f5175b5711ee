"""Find differences between the sources of one page that make numbers incomparable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from harness.analysis.table import plain
from harness.records import EncoderUse, Record, Score
from reports.formatting.numbers import NONE
from reports.merged_runs import AT, Part, recipe

Split: TypeAlias = Mapping[str, Sequence[str]]
"""Labels of sources grouped by value; empty if all sources have the same value."""


def judge_differences(parts: Sequence[Part]) -> dict[str, Split]:
    """Return the judges of each score that has different judges in different sources."""
    names = dict.fromkeys(s.name for p in parts for r in p.cell_records.values() for s in r.scores)
    splits = {name: _split(parts, partial(judges, name)) for name in names}
    return {name: split for name, split in splits.items() if split}


def machine_differences(parts: Sequence[Part]) -> Split:
    """Return the machines on which cells ran, which affect times and memory."""
    return _split(parts, machines)


def judges(name: str, records: Iterable[Record]) -> frozenset[str]:
    """Return the judges of a score, with weights and version."""
    scores = (score for record in records if (score := record.score(name)))
    return frozenset(_judge(score) for score in scores if score.value is not None)


def machines(records: Iterable[Record]) -> frozenset[str]:
    """Return the machines on which records were computed; images made before have none."""
    return frozenset(_machine(record) for record in records if record.timed != "nothing")


def warnings(parts: Sequence[Part]) -> Iterator[str]:
    """Yield a sentence for each difference that makes numbers incomparable."""
    names_by_split: dict[str, list[str]] = {}
    for name, split in judge_differences(parts).items():
        names_by_split.setdefault(_format_split(split), []).append(name)
    for judged_by, names in names_by_split.items():
        verb = "is" if len(names) == 1 else "are"
        yield (
            f"{_join(names)} {verb} not comparable between runs, because the judge"
            f" (the network that computes the score) differs: {judged_by}."
        )
    if split := machine_differences(parts):
        machine = _format_split(split)
        yield f"Times and memory are not comparable, because machines differ: {machine}."
    if split := _split(parts, _precisions):
        yield f"The precision is {_format_split(split)}, which affects scores and times."
    if split := _group({part.label: _network(part.latest_run.encoder) for part in parts}):
        yield f"The encoder is {_format_split(split)}, so methods minimised different losses."


def recipe_differences(parts: Sequence[Part]) -> dict[str, list[str]]:
    """Return the variants whose settings differ between sources, grouped by the difference."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for part in parts for name in part.variants):
        by_label = {part.label: facts for part in parts if (facts := _recipe(part, name))}
        keys = dict.fromkeys(key for facts in by_label.values() for key in facts)
        splits = {
            key: _group({label: facts.get(key, NONE) for label, facts in by_label.items()})
            for key in keys
        }
        changes = [f"{key} {_format_split(split)}" for key, split in splits.items() if split]
        if changes:
            found.setdefault("; ".join(changes), []).append(name)
    return found


def aliases(parts: Sequence[Part]) -> dict[str, list[str]]:
    """Return the variants that have another name in some source, with that name and source."""
    found: dict[str, list[str]] = {}
    for part in parts:
        for original, name in part.variants.items():
            if original != name.partition(AT)[0]:
                found.setdefault(name, []).append(f"{original} in {part.label}")
    return found


def _judge(score: Score) -> str:
    weights = f"weights {score.lens_sha256[:12]}" if score.lens_sha256 else ""
    version = f"version {score.version}" if score.version > 1 else ""
    details = ", ".join(filter(None, (weights, version)))
    return f"{score.lens} ({details})" if details else score.lens


def _precisions(records: Iterable[Record]) -> frozenset[str]:
    return frozenset(record.cell.precision for record in records)


def _machine(record: Record) -> str:
    """Name the machine of a cell: the GPU, or the processor and number of threads."""
    cell, facts = record.cell, record.environment
    if cell.device != "cpu":
        return cell.device
    prefixes = {"processor": "", "threads": "threads "}
    details = [f"{prefix}{facts[name]}" for name, prefix in prefixes.items() if name in facts]
    return f"{cell.device} ({', '.join(details)})" if details else cell.device


def _network(encoder: EncoderUse) -> str:
    return f"{encoder.name} (weights {encoder.sha256[:12]})"


def _recipe(part: Part, variant: str) -> dict[str, str]:
    """Return the settings of a variant as text, taken from its first cell."""
    cell = next((r.cell for r in part.cell_records.values() if r.cell.variant == variant), None)
    if cell is None:
        return {}
    facts: dict[str, Any] = recipe(cell)
    general = {name: facts[name] for name in ("method", "version", "precision", "device")}
    files = {name: sha256[:12] for name, sha256 in cell.files.items()}
    training = {"training": cell.training.sha256[:12]} if cell.training else {}
    encoder = {"encoder": _network(cell.encoder)}
    if cell.style_size:
        encoder["style_size"] = str(cell.style_size)
    settings = {**general, **encoder, **training, **facts["params"], **files}
    return {name: plain(value) for name, value in settings.items()}


def _split(parts: Sequence[Part], facts: Callable[[Iterable[Record]], frozenset[str]]) -> Split:
    """Group labels by a property of their records; return nothing if all have the same value."""
    return _group({p.label: " and ".join(sorted(facts(p.cell_records.values()))) for p in parts})


def _group(facts: Mapping[str, str]) -> Split:
    """Group labels by value, ignoring empty values; return nothing if only one value remains."""
    found: dict[str, list[str]] = {}
    for label, fact in facts.items():
        if fact:
            found.setdefault(fact, []).append(label)
    return found if len(found) > 1 else {}


def _format_split(split: Split) -> str:
    return ", ".join(f"{fact} in {_join(labels)}" for fact, labels in split.items())


def _join(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
