"""Atomic writes, and messages for disks that are full, read-only or removed.

A file or folder has the name `.part-<pid>@<host>@<name>` until it is complete. The name separates
leftovers of a killed process from files that another process is writing, on any machine.
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

from harness.errors import StoreError, UsageError

PART = ".part-"
_PART = re.compile(rf"{re.escape(PART)}(\d{{1,9}})@([^@]*)@")
_HOST = re.sub(r"[^\w.-]", "-", platform.node())[:40]

_FREE_SPACE = "free space there (`nstbench gc` lists files that no run uses)"
_PERMIT = "change its permissions"
_RESTORE = "restore it"
_REMOVED = "it was removed, moved or unmounted during the run"
REFUSALS = {
    # error code: reason, remedy
    ENOSPC: ("its disk is full", _FREE_SPACE),
    EDQUOT: ("your disk quota is used up", _FREE_SPACE),
    EFBIG: ("the file exceeds the size limit of this process", "raise the limit (`ulimit -f`)"),
    EROFS: ("its disk is read-only", "mount it for writing"),
    EACCES: ("permission denied", _PERMIT),
    EPERM: ("permission denied", _PERMIT),
    EIO: ("its disk reports an error", "check the disk"),
    ESTALE: (_REMOVED, _RESTORE),
    ENOTCONN: (_REMOVED, _RESTORE),
    ENOENT: (_REMOVED, _RESTORE),
}
_CONTINUE = "then run the same command again to continue."


@contextmanager
def writing(folder: Path, alternative: str) -> Iterator[None]:
    """Turn write errors in `folder` into a StoreError with the reason and the remedy.

    Args:
        folder: Where the block writes; errors of other folders pass unchanged.
        alternative: A second remedy, such as "take another folder with --out".

    Raises:
        StoreError: The folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or _is_outside(error, folder):
            raise
        why, remedy = REFUSALS.get(error.errno, (os.strerror(error.errno), "resolve this"))
        raise StoreError(
            f"{folder} cannot be written: {why}{_free_space(folder, error)}. Finished results "
            f"are kept. {_capitalize(remedy)}, or {alternative}; {_CONTINUE}"
        ) from error


def describe_os_error(error: OSError) -> str:
    """Return a message for an uncaught disk error, or an empty text if it may be a bug."""
    if error.errno not in REFUSALS or error.errno == ENOENT:
        return ""
    where = error.filename or "The output, or a temporary file"
    _, remedy = REFUSALS[error.errno]
    return (
        f"{where}: {error.strerror}. Finished results are kept. {_capitalize(remedy)}; {_CONTINUE}"
    )


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with the home folder in place of a leading `~`.

    Raises:
        UsageError: The home folder is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"{os.fspath(path)}: the home folder is unknown, so that ~ cannot be replaced. Set "
            "HOME, or write the whole path."
        ) from None


def drop_output() -> None:
    """Discard buffered standard output: Python would flush it again at exit and return 120."""
    with suppress(OSError, ValueError):  # stdout may have no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def ensure_room(folder: Path, size: int) -> None:
    """Check that a disk has room for `size` bytes.

    Raises:
        OSError: It has not (ENOSPC).
    """
    if size > shutil.disk_usage(folder).free:
        raise OSError(ENOSPC, os.strerror(ENOSPC), str(folder))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = part_of(path)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        discard(temporary)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Fill a folder under a temporary name, then replace the folder at `path` with it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, earlier = part_of(path), part_of(path.with_name(f"{path.name}-earlier"))
    for leftover in (temporary, earlier):  # of an earlier process with the same pid
        discard(leftover)
    temporary.mkdir()
    try:
        yield temporary
        _sync(temporary)
        with suppress(FileNotFoundError):
            path.rename(earlier)
        temporary.rename(path)
    finally:
        discard(temporary)
        discard(earlier)


def _sync(folder: Path) -> None:
    """Flush a folder's files to disk, so that a power failure leaves no incomplete file."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file or a folder; after an interruption, the rest has a temporary name."""
    last = part_of(path)
    discard(last)
    path.rename(last)
    discard(last)


def discard(part: Path) -> None:
    """Delete a temporary file or folder; ignore deletion errors."""
    with suppress(OSError):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Return the temporary name of a file or folder."""
    return path.with_name(f"{PART}{os.getpid()}@{_HOST}@{path.name}")


def abandoned(part: Path) -> bool:
    """Return True if the process that wrote a temporary file ran here and has ended."""
    match = _PART.match(part.name)
    return match is not None and match[2] == _HOST and not _is_running(int(match[1]))


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":  # os.kill would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # a process of another user
    return True


def _is_outside(error: OSError, folder: Path) -> bool:
    if not isinstance(error.filename, str):
        return False
    where, folder = Path(error.filename).absolute(), folder.absolute()
    return not (where.is_relative_to(folder) or folder.is_relative_to(where))


def _capitalize(text: str) -> str:
    return text[0].upper() + text[1:]


def _free_space(folder: Path, error: OSError) -> str:
    """Return the free space of a full disk, or an empty text for other errors."""
    if error.errno != ENOSPC:
        return ""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    disk = os.statvfs(existing)
    if disk.f_files and not disk.f_favail:
        return ", no inodes are left"
    return f", {disk.f_bavail * disk.f_frsize / 1e6:,.1f} MB are free"
