"""Disks that are full, can only be read, or are gone: errors of ours, and nothing half-written.

What is being written is called `.part-<pid>@<host>@<name>` until it is whole. So what a process
left that was killed can be told from what another one is writing, on this machine or another.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOENT, ENOSPC, ENOTCONN, EPERM, EROFS, ESTALE
from pathlib import Path

from harness.errors import StoreError

PART = ".part-"
_PART = re.compile(rf"{re.escape(PART)}(\d{{1,9}})@([^@]*)@")
_HOST = re.sub(r"[^\w.-]", "-", platform.node())[:40]

_ROOM = "make room there (`nstbench gc` shows what no run refers to any more)"
_LEAVE = "have its permissions changed"
_BACK = "put it back"
REFUSALS = {
    # what the disk says: why it cannot be written, and what to do
    ENOSPC: ("there is too little room on its disk", _ROOM),
    EDQUOT: ("your quota on its disk is used up", _ROOM),
    EFBIG: ("no file may become so large", "raise the limit (`ulimit -f`)"),
    EROFS: ("its disk can only be read", "mount it for writing"),
    EACCES: ("you may not write there", _LEAVE),
    EPERM: ("you may not write there", _LEAVE),
    EIO: ("its disk has a fault", "see to the disk"),
    ESTALE: ("it was removed, moved or unmounted meanwhile", _BACK),
    ENOTCONN: ("it was removed, moved or unmounted meanwhile", _BACK),
    ENOENT: ("it was removed, moved or unmounted meanwhile", _BACK),
}


@contextmanager
def writing(folder: Path, other: str) -> Iterator[None]:
    """Turn what the disk refuses in `folder` into an error that says where, why and what to do.

    Args:
        folder: Where the block writes; what fails elsewhere is passed on.
        other: What else there is to do: "take another folder with --out".

    Raises:
        StoreError: It is full, can only be read, is gone ...
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or _elsewhere(error, folder):
            raise
        why, remedy = REFUSALS.get(error.errno, (os.strerror(error.errno), "mend that"))
        raise StoreError(
            f"{folder} cannot be written: {why}{_free(folder, error)}. What was finished is kept. "
            f"{_sentence(remedy)}, or {other}; then the same command goes on."
        ) from error


def describe_os_error(error: OSError) -> str:
    """Return what an error means that nobody expected, empty where it may well be a bug."""
    if error.errno not in REFUSALS or error.errno == ENOENT:
        return ""
    where = error.filename or "The output, or a temporary file"
    _, remedy = REFUSALS[error.errno]
    return (
        f"{where}: {error.strerror}. What was finished is kept. {_sentence(remedy)}; then the same "
        "command goes on."
    )


def drop_output() -> None:
    """Forget what standard output still holds: Python would try it once more and end with 120."""
    with suppress(OSError, ValueError):  # it may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ensure_room(folder: Path, size: int) -> None:
    """See that so many bytes can be written, before the first of them is.

    Raises:
        OSError: They cannot.
    """
    if size > shutil.disk_usage(folder).free:
        raise OSError(ENOSPC, os.strerror(ENOSPC), str(folder))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name, then put it in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = part_of(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        discard(temporary)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name, then put it in place of any earlier one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, earlier = part_of(path), part_of(path.with_name(f"{path.name}-earlier"))
    for left in (temporary, earlier):  # by a process that had our number before us
        discard(left)
    temporary.mkdir()
    try:
        yield temporary
        _settle(temporary)
        with suppress(FileNotFoundError):
            path.rename(earlier)
        temporary.rename(path)
    finally:
        discard(temporary)
        discard(earlier)


def _settle(folder: Path) -> None:
    """Have what is in a folder on the disk: after a power failure a name stands for the whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file or a folder; what is left where that breaks off does not have its name."""
    last = part_of(path)
    discard(last)
    path.rename(last)
    discard(last)


def discard(part: Path) -> None:
    """Clear away what is half there, if it is there; that it cannot be tells nobody anything."""
    with suppress(OSError):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Return where a file or folder is written until it is whole."""
    return path.with_name(f"{PART}{os.getpid()}@{_HOST}@{path.name}")


def abandoned(part: Path) -> bool:
    """Tell whether what is half-written is so for ever: a process of this machine that is gone."""
    match = _PART.match(part.name)
    return match is not None and match[2] == _HOST and not _alive(int(match[1]))


def _alive(pid: int) -> bool:
    if sys.platform == "win32":  # where asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def _elsewhere(error: OSError, folder: Path) -> bool:
    if not isinstance(error.filename, str):
        return False
    where, folder = Path(error.filename).absolute(), folder.absolute()
    return not (where.is_relative_to(folder) or folder.is_relative_to(where))


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _free(folder: Path, error: OSError) -> str:
    """Say how much room there is, where that is the matter."""
    if error.errno != ENOSPC:
        return ""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    found = os.statvfs(there)
    if found.f_files and not found.f_favail:
        return ", it takes no further file"
    return f", {found.f_bavail * found.f_frsize / 1e6:,.1f} MB are free"
