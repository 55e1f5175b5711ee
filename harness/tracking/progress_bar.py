"""How far something has come that takes long: a bar on a terminal, else one line."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def shown(what: str, items: Iterable[T], total: int) -> Iterator[T]:
    """Pass items on, showing on stderr how many of them have passed."""
    if not sys.stderr.isatty():
        if total:
            print(f"{what}: {total}", file=sys.stderr, flush=True)
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, what, total, console=Console(stderr=True), transient=True)
