"""What a page is about: the results of one suite, or of several put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from harness.records import Cell, ImageUse, Record, Run, Skip, TracePoint, digest
from harness.store import Store

PLACE = ("content", "style", "seed", "size")
"""Components of a cell that say where its recipe was tried; all others are the recipe."""

AT = " @ "
"""Stands between a name and the source that it is of, where others mean something else by it."""

Names: TypeAlias = Mapping[str, str]
"""What a page calls variants or images, by what a suite calls them."""


class Source(Protocol):
    """Where a page's facts come from; a store is one."""

    def run(self) -> Run:
        """Return what was set out to be done."""

    def records(self, run: Run) -> Iterable[Record]:
        """Return what came of it, in plan order."""

    def image(self, cell_id: str) -> Path | None:
        """Return where a cell's stylized image is."""

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return where a cell's images on the way are, by step."""

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return a cell's loss curve."""

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return where a content or style image is as it was used."""

    def suite_text(self) -> str:
        """Return the suite as it was resolved."""


@dataclass(frozen=True)
class Part:
    """One of several sources, read once; a source of its own in the names of its suite."""

    label: str
    store: Store
    plan: Run
    found: Mapping[str, Record]  # by cell id
    variants: Names = field(default_factory=dict)
    labels: Names = field(default_factory=dict)  # by the page's names of variants
    images: Names = field(default_factory=dict)

    @classmethod
    def of(cls, label: str, store: Store) -> Part:
        """Read a store."""
        run = store.run()
        return cls(label, store, run, {one.cell.id: one for one in store.records(run)})

    def run(self) -> Run:
        """Return what was set out to be done."""
        return self.plan

    def records(self, run: Run) -> Iterable[Record]:
        """Return what came of it, in plan order."""
        return self.found.values()

    def image(self, cell_id: str) -> Path | None:
        """Return where a cell's stylized image is."""
        return self.store.image(cell_id)

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return where a cell's images on the way are, by step."""
        return self.store.snapshots(cell_id)

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return a cell's loss curve."""
        return self.store.trace(cell_id)

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return where a content or style image is as it was used."""
        return self.store.input_path(image, size)

    def suite_text(self) -> str:
        """Return the suite as it was resolved."""
        return self.store.suite_text()

    @cached_property
    def places(self) -> set[tuple[str, str, int]]:
        """The pairs of images, by their contents, and the sizes that it has results at."""
        cells = (record.cell for record in self.found.values())
        return {(cell.content.sha256, cell.style.sha256, cell.size) for cell in cells}

    def named(self, record: Record) -> Record:
        """Return a record in the page's names."""
        cell = record.cell
        content, style = (replace(i, name=self.images[i.name]) for i in (cell.content, cell.style))
        variant = self.variants[cell.variant]
        label = self.labels[variant]
        cell = replace(cell, variant=variant, label=label, content=content, style=style)
        return replace(record, cell=cell)

    def skipped(self) -> Iterator[Skip]:
        """Yield what it left out, in the page's names."""
        images = self.images.items()
        pairs = {f"{a}--{b}": f"{new_a}--{new_b}" for a, new_a in images for b, new_b in images}
        for skip in self.plan.skipped:
            variant = self.variants.get(skip.variant, skip.variant)
            pair = pairs.get(skip.pair, skip.pair)
            rest = skip.name.removeprefix(f"{skip.variant}/{skip.pair}")
            yield replace(skip, name=f"{variant}/{pair}{rest}", variant=variant, pair=pair)

    def own(self, image: ImageUse) -> ImageUse:
        """Return an image that the page names in the names of its suite."""
        names = (own for own, name in self.images.items() if name == image.name)
        return replace(image, name=next(names, image.name))


class MergedRuns:
    """Several sources as one: a result that several have is there once."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, stores: Mapping[str, Store]) -> MergedRuns:
        """Put stores together by their labels: what differs under one name gets names apart."""
        return cls(_named([Part.of(label, store) for label, store in stores.items()]))

    @property
    def label(self) -> str:
        """What the page calls it."""
        return " + ".join(part.label for part in self.parts)

    def groups(self) -> list[MergedRuns]:
        """Return it cut where nothing compares: two in a group share pairs, or a third's."""
        groups: list[list[Part]] = []
        for part in self.parts:
            near = [g for g in groups if any(part.places & other.places for other in g)]
            rest = [g for g in groups if g not in near]
            groups = [*rest, [*chain.from_iterable(near), part]]
        return [MergedRuns([p for p in self.parts if p in group]) for group in groups]

    def run(self) -> Run:
        """Return one run for all: their plans together; what else there is, is told of each."""
        runs = [part.plan for part in self.parts]
        have = {record.cell.name for record in self._records.values()}
        skipped = chain.from_iterable(part.skipped() for part in self.parts)
        return replace(
            runs[0],
            suite=self.label,
            cells=tuple(dict.fromkeys(chain.from_iterable(run.cells for run in runs))),
            # What one left out and another has done is there.
            skipped=tuple(dict.fromkeys(skip for skip in skipped if skip.name not in have)),
            metrics=tuple(dict.fromkeys(chain.from_iterable(run.metrics for run in runs))),
            claims=(),
            warnings=(),
            reused=0,
        )

    def records(self, run: Run) -> list[Record]:
        """Return all records: pair by pair, variants of one name beside each other."""
        return list(self._records.values())

    def image(self, cell_id: str) -> Path | None:
        """Return where a cell's stylized image is."""
        return self._owners[cell_id].store.image(cell_id)

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return where a cell's images on the way are, by step."""
        return self._owners[cell_id].store.snapshots(cell_id)

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return a cell's loss curve."""
        return self._owners[cell_id].store.trace(cell_id)

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return where a content or style image is; any source that has it will do."""
        paths = [part.input_path(part.own(image), size) for part in self.parts]
        return next((path for path in paths if path.exists()), paths[0])

    def suite_text(self) -> str:
        """Return nothing: each source has a suite of its own."""
        return ""

    @cached_property
    def _owners(self) -> dict[str, Part]:
        """The part that shows a cell: the first that has it done, else the first that has it."""
        found: dict[str, Part] = {}
        for part in self.parts:
            for cell_id, record in part.found.items():
                shown = found.setdefault(cell_id, part).found[cell_id]
                if record.ok and not shown.ok:
                    found[cell_id] = part
        return found

    @cached_property
    def _records(self) -> dict[str, Record]:
        items = list(self._owners.items())
        records = {i: part.named(part.found[i]) for i, part in items}
        cells = [record.cell for record in records.values()]
        places = _order((cell.size, cell.pair) for cell in cells)
        seeds = _order(cell.seed for cell in cells)
        variants = _order(cell.variant.partition(AT)[0] for cell in cells)
        parts = _order(part.label for part in self.parts)

        def rank(item: tuple[str, Part]) -> tuple[int, ...]:
            cell, part = records[item[0]].cell, item[1]
            place, variant = (cell.size, cell.pair), cell.variant.partition(AT)[0]
            return places[place], seeds[cell.seed], variants[variant], parts[part.label]

        return {cell_id: records[cell_id] for cell_id, _ in sorted(items, key=rank)}


def recipe(cell: Cell) -> dict[str, Any]:
    """Return what makes a cell's result, wherever it is tried."""
    return {name: value for name, value in cell.components.items() if name not in PLACE}


def _named(parts: Sequence[Part]) -> list[Part]:
    variants = _names(parts, lambda c: [(c.variant, digest(recipe(c)))])
    images = _names(parts, lambda c: [(i.name, i.sha256) for i in (c.content, c.style)])
    # Labels are for reading: two of one method stay two.
    labels = _names(parts, lambda c: [(c.label, f"{c.label} {c.method}")])
    heads: dict[str, str] = {}
    for part, names, own in zip(parts, variants, labels, strict=True):
        for record in part.found.values():
            heads.setdefault(names[record.cell.variant], own[record.cell.label])
    return [
        replace(part, variants=variants[i], labels=heads, images=images[i])
        for i, part in enumerate(parts)
    ]


def _names(
    parts: Sequence[Part], facts: Callable[[Cell], list[tuple[str, str]]]
) -> list[dict[str, str]]:
    """Return names for each part by its own: one for one thing, `name @ label` if it is of two.

    Args:
        parts: In the order in which they give names.
        facts: What a cell says of names: what a name stands for is all that is said of it.
    """
    meant = [_meant(part, facts) for part in parts]
    first: dict[frozenset[str], str] = {}
    for own in meant:
        for name, thing in own.items():
            first.setdefault(thing, name)
    things = Counter(first.values())

    def named(thing: frozenset[str]) -> str:
        name = first[thing]
        labels = (p.label for p, own in zip(parts, meant, strict=True) if own.get(name) == thing)
        return name if things[name] == 1 else f"{name}{AT}{', '.join(labels)}"

    return [{name: named(thing) for name, thing in own.items()} for own in meant]


def _meant(part: Part, facts: Callable[[Cell], list[tuple[str, str]]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for record in part.found.values():
        for name, fact in facts(record.cell):
            found.setdefault(name, set()).add(fact)
    return {name: frozenset(said) for name, said in found.items()}


def _order(values: Iterable[Any]) -> dict[Any, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}
