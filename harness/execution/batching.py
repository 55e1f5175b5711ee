"""Which cells run in one batch when throughput counts more than the time of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.plan import Entry
from harness.registry import METHODS
from harness.resources.images import resized


def batches(entries: Sequence[Entry], most: int) -> list[list[Entry]]:
    """Put cells of one variant and one shape together, at most so many; others stay alone.

    Styles are mixed where the method can do that: a content's paintings all have its shape.
    """
    if most == 1:
        return [[entry] for entry in entries]
    groups: dict[tuple[Any, ...], list[list[Entry]]] = {}
    for entry in entries:
        row = groups.setdefault(_key(entry), [[]])
        if len(row[-1]) == most:
            row.append([])
        row[-1].append(entry)
    return [group for row in groups.values() for group in row]


def _key(entry: Entry) -> tuple[Any, ...]:
    cell = entry.cell
    method = METHODS.get(cell.method)
    if entry.action != "run" or not hasattr(method, "stylize_batch"):
        return (entry.action, cell.id)
    fit = "" if getattr(method, "mixes_styles", False) else cell.fit_id
    shape = resized(cell.content.width, cell.content.height, cell.size)
    # An `include` may change parameters without a new name.
    return (cell.variant, str(dict(cell.params)), cell.encoder.sha256, fit, shape)
