"""How long the rest will take, from what was seen so far, in this run or else in earlier ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.records import Cell, Record, Timing

Kind = tuple[str, str]
"""A variant and its label: cells of one kind take about as long as each other."""


@dataclass
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1


class Estimate:
    """Learns seconds per variant and method from finished cells.

    What is left is counted by kind: a suite of ten thousand cells has few, and asks every time.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = {cell.id: _kind(cell) for cell in cells}
        self._fits = {cell.fit_id: _kind(cell) for cell in cells}
        self._left = Counter(self._cells.values())
        self._fits_left = Counter(self._fits.values())
        self._stylize: dict[str, _Mean] = defaultdict(_Mean)
        self._fit: dict[str, _Mean] = defaultdict(_Mean)
        self._before: dict[str, Timing] = {}  # by variant, of earlier runs

    def learn(self, record: Record) -> None:
        """Take what an earlier run took for a guide, until this one knows better."""
        if record.timing is not None:
            self._before[record.cell.variant] = record.timing

    def finished(self, record: Record) -> None:
        """Take a record's seconds into account."""
        cell = record.cell
        if planned := self._cells.pop(cell.id, None):
            self._left[planned] -= 1
        if fitted := self._fits.pop(cell.fit_id, None):
            self._fits_left[fitted] -= 1
        if record.timing is None:
            return
        for key in _kind(cell):
            self._stylize[key].add(record.timing.stylize_seconds * record.timing.repeats)
            if fitted and not record.timing.fit_shared:
                self._fit[key].add(record.timing.fit_seconds)

    def seconds(self) -> float | None:
        """Return the seconds left, or None while a method that is yet to run was never seen."""
        stylize = {v: t.stylize_seconds * t.repeats for v, t in self._before.items()}
        fit = {variant: timing.fit_seconds for variant, timing in self._before.items()}
        parts = [
            *_parts(self._left, self._stylize, stylize),
            *_parts(self._fits_left, self._fit, fit),
        ]
        known = [seconds for seconds in parts if seconds is not None]
        return sum(known) if len(known) == len(parts) else None


def _kind(cell: Cell) -> Kind:
    return (cell.variant, cell.label)


def _parts(
    left: Counter[Kind], seen: dict[str, _Mean], before: dict[str, float]
) -> Iterable[float | None]:
    for kind, count in left.items():
        if count:
            known = next((seen[key] for key in kind if key in seen), None)
            each = known.total / known.count if known else before.get(kind[0])
            yield None if each is None else count * each
