"""What every panel sees: the records of one run, put in order."""

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
WORDS = {"lower": "lower is better", "higher": "higher is better", "neither": "no direction"}
SYMBOLS = ("dB", "s", "ms", "MB")
OR = " or "  # between the judges of a score that had several
_SIZE = re.compile(r"/(\d+)px/s\d+$")


@dataclass(frozen=True)
class Variant:
    """One column of the grid, one row of the leaderboard."""

    name: str
    label: str
    anchor: bool
    optimised: str = ""  # the encoder whose losses it minimised, if any

    @classmethod
    def of(cls, cell: Cell) -> Variant:
        """Return the variant that a cell belongs to."""
        optimised = "" if cell.anchor else cell.encoder.name
        return cls(cell.variant, cell.label, cell.anchor, optimised)

    def circular(self, column: Column) -> bool:
        """Tell whether it is judged through the very network whose losses it minimised."""
        return bool(self.optimised) and self.optimised in column.lens.split(OR)

    @property
    def short(self) -> str:
        """What sets it apart from its label's other variants: `adam` of `gatys[adam]`."""
        levels = self.name.removeprefix(self.label)
        if levels.startswith(AT):
            return self.name
        return levels.removeprefix("[").replace(f"]{AT}", AT).removesuffix("]") or self.name


@dataclass(frozen=True)
class Column:
    """A quantity that every cell has: a score, or what it cost."""

    name: str
    title: str
    unit: str
    better: Direction
    hint: str = ""
    lens: str = ""  # the network that it looks through, if any

    @property
    def arrow(self) -> str:
        """The direction as a sign."""
        return ARROWS[self.better]

    @property
    def symbol(self) -> str:
        """The unit's sign, where it has one: the `s` of `s per image`."""
        sign = re.split("[ ,]", self.unit)[0]
        return sign if sign in SYMBOLS else ""

    @property
    def direction(self) -> str:
        """The direction in words."""
        return WORDS[self.better]

    def unranked(self, why: str) -> Column:
        """Return it as one in which nobody is better than another."""
        return replace(self, better="neither", hint=why)


@dataclass(frozen=True)
class Pair:
    """One row of the grid; without images where all its cells were skipped."""

    name: str
    size: int
    content: ImageUse | None = None
    style: ImageUse | None = None


@dataclass(frozen=True)
class View:
    """The records of a source; what is costly is made when it is first asked for."""

    store: Source
    album: Album = field(default_factory=EmbeddedAlbum)
    label: str = ""  # what the page calls it, where it is not simply the suite
    whole: View | None = None  # of which it shows a part

    @cached_property
    def parts(self) -> tuple[View, ...]:
        """One view per source, in the names of its suite; this one where there is but one."""
        return tuple(self._part(part, part.label) for part in self.sources) or (self,)

    @cached_property
    def groups(self) -> tuple[View, ...]:
        """Views of the sources that have pairs in common: what can stand in one table."""
        if not isinstance(self.store, MergedRuns):
            return (self,)
        groups = self.store.groups()
        return tuple(self._part(g, g.label) for g in groups) if len(groups) > 1 else (self,)

    @cached_property
    def disputed(self) -> Mapping[str, comparability.Split]:
        """Scores that its sources had different judges of, and who was whose."""
        return comparability.scores(self.sources)

    @cached_property
    def machines_differ(self) -> bool:
        """Whether its sources ran on different machines: then what cells cost does not compare."""
        return bool(comparability.hardware(self.sources))

    @cached_property
    def title(self) -> str:
        """What the page is about."""
        return self.label or self.run.suite

    def heading(self, size: int) -> str:
        """Return what stands above a table of one size, where there are others besides."""
        return self.under(f"{size} px" if len(self.sizes) > 1 else "")

    def under(self, words: str) -> str:
        """Return words with the sources that they are about, where there are others besides."""
        return ", ".join(filter(None, (self.label if self.whole else "", words)))

    @cached_property
    def judge(self) -> str:
        """The encoder that scores look through; where sources have several, all of them."""
        return OR.join(dict.fromkeys(part.run.encoder.name for part in self.parts))

    @cached_property
    def run(self) -> Run:
        """The latest invocation."""
        return self.store.run()

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """What there is by now, in plan order; a cell that is planned twice counts once."""
        return tuple({r.cell.id: r for r in self.store.records(self.run)}.values())

    @cached_property
    def by_place(self) -> dict[tuple[str, int], list[Record]]:
        """The records by pair and size, places and records in plan order."""
        found: dict[tuple[str, int], list[Record]] = {}
        for record in self.records:
            found.setdefault((record.cell.pair, record.cell.size), []).append(record)
        return found

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One flat row per cell, skipped ones too."""
        return table.rows(self.records, self.run.skipped)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as a frame."""
        return table.frame(self.rows)

    @cached_property
    def found(self) -> ClaimDataset:
        """The same, as comparisons take it."""
        return ClaimDataset(self.run, self.frame, table.lenses(self.records))

    @cached_property
    def claims(self) -> list[ClaimRow]:
        """The verdicts on what the suite claims."""
        return evaluate_claims(self.frame, self.run.claims, self.found.lenses)

    @cached_property
    def pending(self) -> int:
        """How many planned cells have no record yet."""
        return len(set(self.run.cells)) - len(self.records)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Long edges in pixels, in plan order; a 0 where nothing tells."""
        skipped = (size for skip in self.run.skipped if (size := self.skip_size(skip)))
        return tuple(dict.fromkeys((*(cell.size for cell in self._cells()), *skipped))) or (0,)

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """Seeds in plan order."""
        return tuple(dict.fromkeys(record.cell.seed for record in self.records))

    @cached_property
    def variants(self) -> tuple[Variant, ...]:
        """Variants in plan order; those of which all cells were skipped come last."""
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
        """Return the size of a skipped cell where its name tells it apart from others."""
        match = _SIZE.search(skip.name)
        return int(match[1]) if match else None

    @cached_property
    def scores(self) -> tuple[Column, ...]:
        """The scores that any cell has, in the suite's order."""
        found: dict[str, Score] = {}
        for record in self.records:
            for score in record.scores:
                found.setdefault(score.name, score)
        order = dict.fromkeys((*self.run.metrics, *found))
        return tuple(self._column(found[name]) for name in order if name in found)

    def stylized(self, record: Record) -> Picture | None:
        """Return a cell's image."""
        return self.album.picture(self.store.image(record.cell.id), self.edge)

    @cached_property
    def edge(self) -> int:
        """The long edge, in pixels, of images in the page; asking for it makes them ready."""
        if self.whole:
            return self.whole.edge
        cells = [record.cell for record in self.records]
        used = (self.store.input_path(i, c.size) for c in cells for i in (c.content, c.style))
        found = dict.fromkeys((*(self.store.image(cell.id) for cell in cells), *used))
        paths = [path for path in found if path and path.is_file()]
        edge = self.album.fitting(paths)
        self.album.expect(paths, edge)
        return edge

    @property
    def edge_reduced(self) -> bool:
        """Whether there were too many images for the usual size."""
        return self.edge < self.album.edge

    def snapshot(self, path: Path) -> Picture | None:
        """Return an image on the way, as small as it is kept."""
        return self.album.picture(path, self.album.edge)

    def input(self, image: ImageUse | None, size: int) -> Picture | None:
        """Return a content or style image as it was used at `size`."""
        path = self.store.input_path(image, size) if image else None
        return self.album.picture(path, self.edge)

    @cached_property
    def encoders(self) -> tuple[EncoderUse, ...]:
        """The judge of each source, and the encoders that methods used besides."""
        own = (record.cell.encoder for record in self.records)
        judges = (part.run.encoder for part in self.parts)
        found = {use.sha256: use for use in (*judges, *own)}
        return tuple(found.values())

    @property
    def sources(self) -> Sequence[Part]:
        """What it is put together of, where there are several."""
        return self.store.parts if isinstance(self.store, MergedRuns) else ()

    def _part(self, source: Source, label: str) -> View:
        return replace(self, store=source, label=label, whole=self.whole or self)

    def _cells(self) -> Iterator[Cell]:
        return (record.cell for record in self.records)

    def _column(self, score: Score) -> Column:
        word, _, rest = score.name.partition("_")
        to_content = word in ("ssim", "lpips")
        title = f"{word.upper()} {rest}".strip() if to_content else score.name.replace("_", " ")
        column = Column(
            name=score.name,
            title=title,
            unit=score.unit,
            better=score.better,
            hint="content preservation" if to_content else "",
            lens=score.lens,
        )
        if score.name not in self.disputed:
            return column
        lenses = dict.fromkeys(s.lens for r in self.records if (s := r.score(score.name)))
        return replace(column.unranked("several judges"), lens=OR.join(lenses))
