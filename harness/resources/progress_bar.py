"""Progress of a long operation: a bar on a terminal, otherwise one line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def with_progress(label: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Yield the items, and show on stderr how many were taken."""
    if not total:
        return
    if not sys.stderr.isatty():
        print(f"{label}: {total}", file=sys.stderr, flush=True)
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, label, total, console=Console(stderr=True), transient=True)
