"""Decide for each cell whether it runs, is scored again or is reused, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.records import Cell, Record, Score, Skip

Action = Literal["run", "reuse", "score"]


@dataclass(frozen=True)
class Entry:
    """A cell, what is done with it, and why."""

    cell: Cell
    action: Action
    why: str


@dataclass(frozen=True)
class Plan:
    """All cells of a suite in the order of the page: pair by pair, variant by variant."""

    entries: tuple[Entry, ...]
    skipped: tuple[Skip, ...]
    scores_only: bool = False  # run no cell, only score stored images

    def of(self, action: Action) -> list[Entry]:
        """Return the entries with one action, grouped by fit."""
        chosen = [entry for entry in self.entries if entry.action == action]
        order = {fit: i for i, fit in enumerate(dict.fromkeys(e.cell.fit_id for e in chosen))}
        return sorted(chosen, key=lambda entry: order[entry.cell.fit_id])

    def count(self, action: Action) -> int:
        """Return how many entries have one action."""
        return sum(entry.action == action for entry in self.entries)

    @property
    def todo(self) -> list[Entry]:
        """The entries that need a worker, in the order in which they run."""
        return [*self.of("score"), *([] if self.scores_only else self.of("run"))]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of all entries."""
        return tuple(entry.cell for entry in self.entries)


def decide(
    cells: Sequence[Cell], skipped: Sequence[Skip], read: Callable[[str], Record | None],
    scores: Sequence[Score], *, fresh: bool = False, bitwise: bool = False,
) -> Plan:  # fmt: skip
    """Compare the cells with what is stored.

    Args:
        cells: From `expand`.
        skipped: From `expand`.
        read: Returns the stored record of a cell id, or None.
        scores: What each record should have, by name, lens and version; a score with a
            `why_missing` cannot be taken, so no record needs it.
        fresh: Run every cell again.
        bitwise: Run cells again whose image the same machine may not reproduce bit by bit.
    """

    def entry(cell: Cell) -> Entry:
        return _decide(cell, None if fresh else read(cell.id), scores, bitwise=bitwise)

    return Plan(tuple(map(entry, cells)), tuple(skipped))


def _decide(cell: Cell, record: Record | None, scores: Sequence[Score], *, bitwise: bool) -> Entry:
    if record is None:
        return Entry(cell, "run", "new")
    if not record.ok:
        return Entry(cell, "run", f"the last attempt ended {record.status}")
    if bitwise and not record.bitwise:
        return Entry(cell, "run", "made without --deterministic")
    present = {_kind(score) for score in record.scores}
    missing = [s.name for s in scores if not s.why_missing and _kind(s) not in present]
    if missing:
        return Entry(cell, "score", f"to be scored: {', '.join(missing)}")
    return Entry(cell, "reuse", "done before")


def _kind(score: Score) -> tuple[str, str, str, int]:
    return (score.name, score.lens, score.lens_sha256, score.version)


def explain_all(plan: Plan, stored: Sequence[Record]) -> dict[str, str]:
    """Return by cell id why each cell runs, or why it does not."""
    by_name: dict[str, list[Record]] = {}
    for record in stored:
        by_name.setdefault(record.cell.name, []).append(record)
    return {
        entry.cell.id: explain(entry.cell, by_name.get(entry.cell.name, ()))
        if (entry.action, entry.why) == ("run", "new")
        else entry.why
        for entry in plan.entries
    }


def explain(cell: Cell, stored: Iterable[Record]) -> str:
    """Return the components that differ between a cell and the closest record of its name."""
    same_name = [r for r in stored if r.cell.name == cell.name and r.cell.id != cell.id]
    if not same_name:
        return "no earlier result has this name"
    candidates = [_changes(record.cell, cell) for record in same_name]
    fewest = min(candidates, key=len)
    return "; ".join(fewest)


def _changes(old_cell: Cell, new_cell: Cell) -> list[str]:
    old, new = _flatten(old_cell.components), _flatten(new_cell.components)
    return [
        f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _flatten(components: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in components.items() if key != "params"}
    for key, value in components["params"].items():
        flat[f"params.{key}"] = list(value) if isinstance(value, tuple) else value
    return flat
