"""How much memory is free, and a limit at that: better an error than a machine brought down."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from harness.execution.machine import procfs

MEMINFO, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
CGROUP = Path("/sys/fs/cgroup")


def free() -> int | None:
    """Return the bytes that a process may still take, or None where the system does not tell.

    In a container it is what the container has left, where that is less.
    """
    try:
        available = _kilobytes(MEMINFO, "MemAvailable") * 1024
    except (OSError, ValueError):
        return None
    return min(filter(None, (available, _left_in_container())), default=available)


def limit_to_what_is_free() -> None:
    """Let this process grow by what is free and no further: past that, allocating raises.

    Otherwise Linux ends whichever process it likes. Only data is limited, not address space:
    libraries reserve that without using it. Elsewhere than on Linux nothing is limited.
    """
    room = free() if sys.platform == "linux" else None
    if room is None:
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _kilobytes(STATUS, "VmData") * 1024 + room
    if most == resource.RLIM_INFINITY or limit < most:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))


def _left_in_container() -> int | None:
    """Return what control groups (version 2) leave to us, None where they set no limit."""
    try:
        most, used = (
            int(procfs.begin_of(CGROUP / f"memory.{what}")) for what in ("max", "current")
        )
        cached = _entry(procfs.begin_of(CGROUP / "memory.stat"), "inactive_file")
    except (OSError, ValueError):
        return None
    return max(0, most - used + cached)  # what is only cached gives way


def _kilobytes(path: Path, name: str) -> int:
    return _entry(procfs.begin_of(path), f"{name}:")


def _entry(text: str, name: str) -> int:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise ValueError(f"There is no {name} in it.")
