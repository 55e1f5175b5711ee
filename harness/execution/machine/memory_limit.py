"""Limit a process to the memory that is free, so that allocations raise before Linux kills it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def free() -> int:
    """Return the bytes that a process can still allocate: those of its container, if fewer."""
    available = psutil.virtual_memory().available
    left = _left_in_container()
    return available if left is None else min(available, left)


def limit_to_free_memory() -> None:
    """Make allocations beyond the memory that is free now raise MemoryError, on Linux only.

    Only data is limited, not address space: libraries reserve address space that they never use.
    """
    if sys.platform != "linux":
        return
    _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
    limit = psutil.Process().memory_info().data + free()
    if hard_limit == resource.RLIM_INFINITY or limit < hard_limit:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard_limit))


@contextmanager
def limited_to_free_memory() -> Iterator[None]:
    """Limit the process inside the block."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_to_free_memory()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _left_in_container() -> int | None:
    """Return what control groups (version 2) leave to the process, None without a limit."""
    try:
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    return max(0, limit - used + int(stat["inactive_file"]))  # the kernel frees its file cache
