"""How long the rest will take, from what was seen so far; nothing where nothing was seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean

from harness.records import Cell, Record


class Estimate:
    """Learns seconds per variant and method from finished cells."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._left = {cell.id: cell for cell in cells}
        self._fits_left = {cell.fit_id: cell for cell in cells}
        self._stylize: dict[str, list[float]] = defaultdict(list)
        self._fit: dict[str, list[float]] = defaultdict(list)

    def finished(self, record: Record) -> None:
        """Take a record's seconds into account."""
        cell = record.cell
        self._left.pop(cell.id, None)
        first = self._fits_left.pop(cell.fit_id, None) is not None
        if record.timing is None:
            return
        for key in (cell.variant, cell.label):
            self._stylize[key].append(record.timing.stylize_seconds * record.timing.repeats)
            if first and not record.timing.fit_shared:
                self._fit[key].append(record.timing.fit_seconds)

    def seconds(self) -> float | None:
        """Return the seconds left, or None while a method that is yet to run was never seen."""
        stylize = [self._known(self._stylize, cell) for cell in self._left.values()]
        fit = [self._known(self._fit, cell) for cell in self._fits_left.values()]
        known = [s for s in (*stylize, *fit) if s is not None]
        return sum(known) if len(known) == len(stylize) + len(fit) else None

    @staticmethod
    def _known(seen: dict[str, list[float]], cell: Cell) -> float | None:
        for key in (cell.variant, cell.label):
            if seen.get(key):
                return mean(seen[key])
        return None
