"""View model of the page: the records of one run, ordered and derived for the panels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis import table
from harness.analysis.claims import ClaimDataset, ClaimRow, evaluate_claims
from harness.records import Cell, Direction, EncoderUse, ImageUse, Record, Run, Score, Skip
from reports import comparability
from reports.images import Album, EmbeddedAlbum, Picture
from reports.merged_runs import AT, MergedRuns, Part, Source

ARROWS = {"lower": "↓", "higher": "↑", "neither": ""}
WORDS = {
    "lower": "lower is better",
    "higher": "higher is better",
    "neither": "not ranked",
}
SYMBOLS = ("dB", "s", "ms", "MB")
OR = " or "  # joins the judges of a score that has several
_SIZE = re.compile(r"/(\d+)px/s\d+$")


@dataclass(frozen=True)
class Variant:
    """One column of the grid, one row of the leaderboard."""

    name: str
    label: str
    anchor: bool
    optimised: str = ""  # name of the encoder whose loss it minimises, if any

    @classmethod
    def of(cls, cell: Cell) -> Variant:
        """Return the variant that a cell belongs to."""
        optimised = cell.encoder.name if cell.uses_encoder and not cell.anchor else ""
        return cls(cell.variant, cell.label, cell.anchor, optimised)

    def circular(self, column: Column) -> bool:
        """Return whether the judge of a column is the network whose loss the variant minimises."""
        return bool(self.optimised) and self.optimised in column.lens.split(OR)

    @property
    def short(self) -> str:
        """The levels that distinguish variants of one label: `adam` for `gatys[adam]`."""
        levels = self.name.removeprefix(self.label)
        if levels.startswith(AT):
            return self.name
        return levels.removeprefix("[").replace(f"]{AT}", AT).removesuffix("]") or self.name


@dataclass(frozen=True)
class Column:
    """A quantity of cells: a score, a time or memory."""

    name: str
    title: str
    unit: str
    better: Direction
    hint: str = ""
    lens: str = ""  # the network whose features it uses, `pixels`, or `none`

    @property
    def arrow(self) -> str:
        """An arrow for the better direction, or an empty string."""
        return ARROWS[self.better]

    @property
    def judge(self) -> str:
        """The judge, or an empty string if the score uses the pixels or no network is available."""
        return "" if self.lens in {"pixels", "none"} else self.lens

    @property
    def symbol(self) -> str:
        """The symbol of the unit, if it has one: `s` for `s per image`."""
        symbol = re.split("[ ,]", self.unit)[0]
        return symbol if symbol in SYMBOLS else ""

    @property
    def direction(self) -> str:
        """The better direction in words."""
        return WORDS[self.better]

    def unranked(self, reason: str) -> Column:
        """Return a copy without a better direction, with the reason as its hint."""
        return replace(self, better="neither", hint=reason)


@dataclass(frozen=True)
class Pair:
    """One row of the grid; it has no images if all its cells were skipped."""

    name: str
    size: int
    content: ImageUse | None = None
    style: ImageUse | None = None


@dataclass(frozen=True)
class View:
    """The records of a source. Expensive properties are computed on first use."""

    store: Source
    album: Album = field(default_factory=EmbeddedAlbum)
    label: str = ""  # title on the page, if it is not the name of the suite
    parent: View | None = None  # the view of which this is a part

    @cached_property
    def parts(self) -> tuple[View, ...]:
        """One view per source, with the names of its suite; a single source is this view."""
        return tuple(self._part(part, part.label) for part in self.sources) or (self,)

    @cached_property
    def groups(self) -> tuple[View, ...]:
        """Views of the groups of sources that share pairs and can share a table."""
        if not isinstance(self.store, MergedRuns):
            return (self,)
        groups = self.store.groups()
        return tuple(self._part(g, g.label) for g in groups) if len(groups) > 1 else (self,)

    @cached_property
    def judge_differences(self) -> Mapping[str, comparability.Split]:
        """Scores whose judge differs between sources, with the sources of each judge."""
        return comparability.judge_differences(self.sources)

    @cached_property
    def machines_differ(self) -> bool:
        """Whether sources ran on different machines, whose times and memory are not comparable."""
        return bool(comparability.machine_differences(self.sources))

    @cached_property
    def title(self) -> str:
        """Title of the page."""
        return self.label or self.run.suite

    def heading(self, size: int) -> str:
        """Return the heading of the table of one size; empty if there is only one table."""
        return self.qualify(f"{size} px" if len(self.sizes) > 1 else "")

    def qualify(self, text: str) -> str:
        """Prefix a text with the label of the sources if this view is one of several."""
        return ", ".join(filter(None, (self.label if self.parent else "", text)))

    @cached_property
    def judge(self) -> str:
        """Name of the judge, or the names of all judges if sources differ."""
        return OR.join(dict.fromkeys(part.run.encoder.name for part in self.parts))

    @cached_property
    def run(self) -> Run:
        """The latest run."""
        return self.store.run()

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """Existing records in plan order; a cell that is planned twice appears once."""
        return tuple({r.cell.id: r for r in self.store.records(self.run)}.values())

    @cached_property
    def by_place(self) -> dict[tuple[str, int], list[Record]]:
        """The records by pair and size, in plan order."""
        places: dict[tuple[str, int], list[Record]] = {}
        for record in self.records:
            places.setdefault((record.cell.pair, record.cell.size), []).append(record)
        return places

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One flat row per cell, including skipped cells."""
        return table.rows(self.records, self.run.skipped)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as a data frame."""
        return table.frame(self.rows)

    @cached_property
    def dataset(self) -> ClaimDataset:
        """The rows with the run and the judges, as comparisons need them."""
        return ClaimDataset(self.run, self.frame, table.lenses(self.records))

    @cached_property
    def claims(self) -> list[ClaimRow]:
        """The verdicts on the claims of the suite."""
        return evaluate_claims(self.frame, self.run.claims, self.dataset.lenses)

    @cached_property
    def pending(self) -> int:
        """Number of planned cells without a record."""
        return len(set(self.run.cells)) - len(self.records)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Long edges in pixels, in plan order; `(0,)` if they are unknown."""
        skipped = (size for skip in self.run.skipped if (size := self.skip_size(skip)))
        return tuple(dict.fromkeys((*(cell.size for cell in self._cells()), *skipped))) or (0,)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in plan order."""
        return tuple(dict.fromkeys(record.cell.seed for record in self.records))

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Variants in plan order, followed by variants whose cells were all skipped."""
        found = {cell.variant: Variant.of(cell) for cell in self._cells()}
        for skip in self.run.skipped:
            found.setdefault(skip.variant, Variant(skip.variant, skip.variant, anchor=False))
        return tuple(found.values())

    def pairs(self, size: int) -> tuple[Pair, ...]:
        """Return the pairs at a size, in plan order."""
        cells = [cell for cell in self._cells() if cell.size == size]
        found = {cell.pair: Pair(cell.pair, size, cell.content, cell.style) for cell in cells}
        for skip in self.run.skipped:
            if self.skip_size(skip) in (size, None):
                found.setdefault(skip.pair, Pair(skip.pair, size))
        return tuple(found.values())

    @staticmethod
    def skip_size(skip: Skip) -> int | None:
        """Return the size in the name of a skipped cell, or None if the suite has one size."""
        match = _SIZE.search(skip.name)
        return int(match[1]) if match else None

    @cached_property
    def scores(self) -> tuple[Column, ...]:
        """The scores of all cells, in the order of the suite."""
        found: dict[str, Score] = {}
        for record in self.records:
            for score in record.scores:
                found.setdefault(score.name, score)
        order = dict.fromkeys((*self.run.metrics, *found))
        return tuple(self._column(found[name]) for name in order if name in found)

    def stylized(self, record: Record) -> Picture | None:
        """Return the stylized image of a cell, or None if it is missing."""
        return self.album.picture(self.store.image(record.cell.id), self.edge)

    @cached_property
    def edge(self) -> int:
        """Long edge of images in the page, in pixels. First use compresses all images."""
        if self.parent:
            return self.parent.edge
        cells = [record.cell for record in self.records]
        inputs = (self.store.input_path(i, c.size) for c in cells for i in (c.content, c.style))
        unique = dict.fromkeys((*(self.store.image(cell.id) for cell in cells), *inputs))
        paths = [path for path in unique if path and path.is_file()]
        edge = self.album.choose_edge(paths)
        self.album.prepare(paths, edge)
        return edge

    @property
    def edge_reduced(self) -> bool:
        """Whether images are smaller than usual because there are many."""
        return self.edge < self.album.edge

    def snapshot(self, path: Path) -> Picture | None:
        """Return an intermediate image, at its stored size."""
        return self.album.picture(path, self.album.edge)

    def input(self, image: ImageUse | None, size: int) -> Picture | None:
        """Return a content or style image as it was used at `size`."""
        path = self.store.input_path(image, size) if image else None
        return self.album.picture(path, self.edge)

    @cached_property
    def encoders(self) -> tuple[EncoderUse, ...]:
        """The judge of each source, and all other encoders that methods used."""
        judges = (part.run.encoder for part in self.parts)
        used = (record.cell.encoder for record in self.records)
        return tuple({use.sha256: use for use in (*judges, *used)}.values())

    @property
    def sources(self) -> Sequence[Part]:
        """The merged sources; empty if there is only one source."""
        return self.store.parts if isinstance(self.store, MergedRuns) else ()

    def _part(self, source: Source, label: str) -> View:
        return replace(self, store=source, label=label, parent=self.parent or self)

    def _cells(self) -> Iterator[Cell]:
        return (record.cell for record in self.records)

    def _column(self, score: Score) -> Column:
        first, _, rest = score.name.partition("_")
        to_content = first in ("ssim", "lpips")
        title = f"{first.upper()} {rest}".strip() if to_content else score.name.replace("_", " ")
        column = Column(
            name=score.name,
            title=title,
            unit=score.unit,
            better=score.better,
            hint="content preservation" if to_content else "",
            lens=score.lens,
        )
        if score.name not in self.judge_differences:
            return column
        lenses = dict.fromkeys(s.lens for r in self.records if (s := r.score(score.name)))
        return replace(column.unranked("different judges"), lens=OR.join(lenses))
