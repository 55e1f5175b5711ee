"""Sources of a page: the results of one suite, or of several suites or runs merged."""

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
"""Components of a cell that its recipe does not include; all other components are the recipe."""

AT = " @ "
"""Separates a name from its source where the name means different things in several sources."""

Names: TypeAlias = Mapping[str, str]
"""Names of variants or images on the page, by their names in a suite."""


class Source(Protocol):
    """Interface through which a page reads results; `Store` implements it."""

    def run(self) -> Run:
        """Return the latest run: its plan and settings."""

    def records(self, run: Run) -> Iterable[Record]:
        """Return the records of a run, in plan order."""

    def image(self, cell_id: str) -> Path | None:
        """Return the path of the stylized image of a cell, or None if there is none."""

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return the paths of the intermediate images of a cell, by step."""

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return the loss curve of a cell."""

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return the path of a content or style image, resized to `size`."""

    def suite_text(self) -> str:
        """Return the resolved suite as YAML, or an empty string."""


@dataclass(frozen=True)
class Part:
    """One of several sources, read once. As a `Source`, it uses the names of its own suite."""

    label: str
    store: Store
    latest_run: Run
    cell_records: Mapping[str, Record]  # by cell id
    variants: Names = field(default_factory=dict)
    labels: Names = field(default_factory=dict)  # by the name of the variant on the page
    images: Names = field(default_factory=dict)

    @classmethod
    def of(cls, label: str, store: Store) -> Part:
        """Read a store."""
        run = store.run()
        return cls(label, store, run, {one.cell.id: one for one in store.records(run)})

    def run(self) -> Run:
        """Return the latest run: its plan and settings."""
        return self.latest_run

    def records(self, run: Run) -> Iterable[Record]:
        """Return the records of a run, in plan order."""
        return self.cell_records.values()

    def image(self, cell_id: str) -> Path | None:
        """Return the path of the stylized image of a cell, or None if there is none."""
        return self.store.image(cell_id)

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return the paths of the intermediate images of a cell, by step."""
        return self.store.snapshots(cell_id)

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return the loss curve of a cell."""
        return self.store.trace(cell_id)

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return the path of a content or style image, resized to `size`."""
        return self.store.input_path(image, size)

    def suite_text(self) -> str:
        """Return the resolved suite as YAML, or an empty string."""
        return self.store.suite_text()

    @cached_property
    def places(self) -> set[tuple[str, str, int]]:
        """Hashes of content and style, and size, of all cells with a record."""
        cells = (record.cell for record in self.cell_records.values())
        return {(cell.content.sha256, cell.style.sha256, cell.size) for cell in cells}

    def rename(self, record: Record) -> Record:
        """Return a record with the names that the page uses."""
        cell = record.cell
        content, style = (replace(i, name=self.images[i.name]) for i in (cell.content, cell.style))
        variant = self.variants[cell.variant]
        label = self.labels[variant]
        cell = replace(cell, variant=variant, label=label, content=content, style=style)
        return replace(record, cell=cell)

    def skipped(self) -> Iterator[Skip]:
        """Yield the skipped cells with the names that the page uses."""
        images = self.images.items()
        pairs = {f"{a}--{b}": f"{new_a}--{new_b}" for a, new_a in images for b, new_b in images}
        for skip in self.latest_run.skipped:
            variant = self.variants.get(skip.variant, skip.variant)
            pair = pairs.get(skip.pair, skip.pair)
            suffix = skip.name.removeprefix(f"{skip.variant}/{skip.pair}")
            yield replace(skip, name=f"{variant}/{pair}{suffix}", variant=variant, pair=pair)

    def original(self, image: ImageUse) -> ImageUse:
        """Return an image of the page with its name in this suite."""
        names = (original for original, name in self.images.items() if name == image.name)
        return replace(image, name=next(names, image.name))


class MergedRuns:
    """Several sources merged into one; a cell that several sources contain appears once."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, stores: Mapping[str, Store]) -> MergedRuns:
        """Merge stores by label. Things that differ but share a name get distinct names."""
        return cls(_with_page_names([Part.of(label, store) for label, store in stores.items()]))

    @property
    def label(self) -> str:
        """Labels of all sources, joined by a plus sign."""
        return " + ".join(part.label for part in self.parts)

    def groups(self) -> list[MergedRuns]:
        """Split into groups of sources that share pairs, directly or through other sources."""
        groups: list[list[Part]] = []
        for part in self.parts:
            connected = [g for g in groups if any(part.places & other.places for other in g)]
            separate = [g for g in groups if g not in connected]
            groups = [*separate, [*chain.from_iterable(connected), part]]
        return [MergedRuns([p for p in self.parts if p in group]) for group in groups]

    def run(self) -> Run:
        """Return one run with the plans of all; claims and warnings are shown for each source."""
        runs = [part.latest_run for part in self.parts]
        recorded = {record.cell.name for record in self._records.values()}
        skipped = chain.from_iterable(part.skipped() for part in self.parts)
        return replace(
            runs[0],
            suite=self.label,
            cells=tuple(dict.fromkeys(chain.from_iterable(run.cells for run in runs))),
            # A cell that one source skipped may have a record in another.
            skipped=tuple(dict.fromkeys(skip for skip in skipped if skip.name not in recorded)),
            metrics=tuple(dict.fromkeys(chain.from_iterable(run.metrics for run in runs))),
            claims=(),
            warnings=(),
            reused=0,
        )

    def records(self, run: Run) -> list[Record]:
        """Return all records by pair; variants with the same original name are adjacent."""
        return list(self._records.values())

    def image(self, cell_id: str) -> Path | None:
        """Return the path of the stylized image of a cell, or None if there is none."""
        return self._owners[cell_id].store.image(cell_id)

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return the paths of the intermediate images of a cell, by step."""
        return self._owners[cell_id].store.snapshots(cell_id)

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return the loss curve of a cell."""
        return self._owners[cell_id].store.trace(cell_id)

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return the path of a content or style image, from the first source that has it."""
        paths = [part.input_path(part.original(image), size) for part in self.parts]
        return next((path for path in paths if path.exists()), paths[0])

    def suite_text(self) -> str:
        """Return an empty string: each source has its own suite."""
        return ""

    @cached_property
    def _owners(self) -> dict[str, Part]:
        """The source of each cell: the first with a finished record, else the first with any."""
        owners: dict[str, Part] = {}
        for part in self.parts:
            for cell_id, record in part.cell_records.items():
                first = owners.setdefault(cell_id, part).cell_records[cell_id]
                if record.ok and not first.ok:
                    owners[cell_id] = part
        return owners

    @cached_property
    def _records(self) -> dict[str, Record]:
        items = list(self._owners.items())
        records = {i: part.rename(part.cell_records[i]) for i, part in items}
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
    """Return the components of a cell without its images, seed and size."""
    return {name: value for name, value in cell.components.items() if name not in PLACE}


def _with_page_names(parts: Sequence[Part]) -> list[Part]:
    variants = _page_names(parts, lambda c: [(c.variant, digest(recipe(c)))])
    images = _page_names(parts, lambda c: [(i.name, i.sha256) for i in (c.content, c.style)])
    # Two labels of one method stay distinct, so the label is part of the meaning.
    labels = _page_names(parts, lambda c: [(c.label, f"{c.label} {c.method}")])
    label_of: dict[str, str] = {}
    for part, part_variants, part_labels in zip(parts, variants, labels, strict=True):
        for record in part.cell_records.values():
            variant = part_variants[record.cell.variant]
            label_of.setdefault(variant, part_labels[record.cell.label])
    return [
        replace(part, variants=variants[i], labels=label_of, images=images[i])
        for i, part in enumerate(parts)
    ]


def _page_names(
    parts: Sequence[Part], facts: Callable[[Cell], list[tuple[str, str]]]
) -> list[dict[str, str]]:
    """Map the names of each part to names on the page.

    A meaning has one name on the page: that of the first part that contains it. If a name has
    several meanings, the page appends the labels of the parts: `name @ label`.

    Args:
        parts: In order of precedence for names.
        facts: Returns pairs of a name and a fact about it; the meaning of a name in a part is
            the set of all facts.
    """
    meanings = [_meanings(part, facts) for part in parts]
    first_names: dict[frozenset[str], str] = {}
    for part_meanings in meanings:
        for name, meaning in part_meanings.items():
            first_names.setdefault(meaning, name)
    uses = Counter(first_names.values())

    def page_name(meaning: frozenset[str]) -> str:
        name = first_names[meaning]
        labels = (p.label for p, m in zip(parts, meanings, strict=True) if m.get(name) == meaning)
        return name if uses[name] == 1 else f"{name}{AT}{', '.join(labels)}"

    return [{name: page_name(meaning) for name, meaning in m.items()} for m in meanings]


def _meanings(
    part: Part, facts: Callable[[Cell], list[tuple[str, str]]]
) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for record in part.cell_records.values():
        for name, fact in facts(record.cell):
            found.setdefault(name, set()).add(fact)
    return {name: frozenset(meaning) for name, meaning in found.items()}


def _order(values: Iterable[Any]) -> dict[Any, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(values))}
