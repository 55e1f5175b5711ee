"""Group cells into batches, if throughput matters more than the time of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.plan import Entry
from harness.protocols import SupportsBatches
from harness.registry import METHODS
from harness.resources.images import resized


def group_into_batches(entries: Sequence[Entry], size: int) -> list[list[Entry]]:
    """Return batches of at most `size` cells of one variant and one shape.

    Cells of different styles share a batch if their method can do that. A cell whose method cannot
    stylize batches has a batch of its own.
    """
    if size == 1:
        return [[entry] for entry in entries]
    groups: dict[tuple[Any, ...], list[list[Entry]]] = {}
    for entry in entries:
        group = groups.setdefault(_group_key(entry), [[]])
        if len(group[-1]) == size:
            group.append([])
        group[-1].append(entry)
    return [batch for group in groups.values() for batch in group]


def _group_key(entry: Entry) -> tuple[Any, ...]:
    cell = entry.cell
    method = METHODS.get(cell.method)
    fit = "" if method.mixes_styles else cell.fit_id
    if entry.action != "run" or not issubclass(method, SupportsBatches):
        return (entry.action, cell.id)
    shape = resized(cell.content.width, cell.content.height, cell.size)
    # An include may change parameters without changing the variant's name.
    return (cell.variant, str(dict(cell.params)), cell.encoder.sha256, fit, shape)
