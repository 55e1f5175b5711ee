"""Download pinned files once, with hash check, atomic replacement and timeouts."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.errors import AbsentError, HashError, SourceError
from harness.filesystem import writing
from harness.resources.hash_cache import cache_folder, recall
from harness.resources.http_transfer import MAX_BYTES, TransferError, download

ATTEMPTS, WAIT_SECONDS = 3, 1.0
"""The wait doubles after each attempt."""

CACHE_REMEDY = "choose other folders with NSTBENCH_CACHE and TORCH_HOME"
MAX_NAME_LENGTH = 150
"""Bytes. File systems allow 255, which includes `.part-` and a hash."""

SMALL_BYTES = 2**20
"""Hashing a file of this size is faster than a cache lookup."""


class Network:
    """Downloads files; it sends no second request to a host that does not answer."""

    def __init__(self, *, offline: bool = False, why: str = "--offline was given") -> None:
        self.closed = why if offline else ""
        self.fetched: set[Path] = set()
        self._silent: dict[str, str] = {}  # host -> reason for no further requests

    def fetch(self, url: str, target: Path, sha256: str) -> Path:
        """Download `url` to `target`; concurrent processes download a file only once.

        Args:
            url: Address of the file.
            target: Path of the local file; an existing one is checked and not downloaded.
            sha256: Hash of the file, or its leading digits.

        Raises:
            SourceError: The network is closed, or the server fails.
            StoreError: The file cannot be written.
            AbsentError: The server does not have the file.
            HashError: The file has another hash. A downloaded file is then deleted.
        """
        if not target.exists():
            self._refuse_closed(url)
            with _writable(target.parent), _alone(target):
                if not target.exists():  # another process may have downloaded it meanwhile
                    self._fetch(url, target, sha256)
                    self.fetched.add(target)
                    return target
        check(target, sha256, remedy="Delete the file to download it again.")
        return target

    def read(self, url: str, max_bytes: int) -> bytes:
        """Return the bytes of a small file that has no pinned hash.

        Raises:
            AbsentError: The server does not have the file.
            SourceError: As for `fetch`.
        """
        self._refuse_closed(url)
        target = cache_folder() / "unpinned" / hashlib.sha256(url.encode()).hexdigest()
        with _writable(target.parent), _alone(target):
            target.unlink(missing_ok=True)  # the leftover of a killed process may be outdated
            try:
                self._attempts(url, target, max_bytes)
                return target.read_bytes()
            finally:
                target.unlink(missing_ok=True)

    def _fetch(self, url: str, target: Path, sha256: str) -> None:
        part = target.with_name(f".part-{sha256[:16]}-{target.name}")
        resumed = part.exists()
        self._attempts(url, part, MAX_BYTES)
        try:
            check(part, sha256, url)
        except HashError:
            part.unlink()
            if not resumed:
                raise
            self._fetch(url, target, sha256)  # the existing part may have been wrong
        else:
            part.replace(target)

    def _attempts(self, url: str, part: Path, max_bytes: int) -> None:
        """Download with retries for temporary errors; each attempt resumes the previous one."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                download(url, part, max_bytes)
            except TransferError as error:
                if error.temporary and attempt < ATTEMPTS:
                    time.sleep(WAIT_SECONDS * 2 ** (attempt - 1))
                    continue
                if error.silent:
                    self._silent[urlsplit(url).hostname or ""] = str(error)
                kind = AbsentError if error.absent else SourceError
                raise kind(f"{file_name(url)} cannot be fetched: {error}.") from error
            return

    def _refuse_closed(self, url: str) -> None:
        why = self.closed or self._silent.get(urlsplit(url).hostname or "")
        if why:
            raise SourceError(f"{file_name(url)} cannot be fetched: {why}.")


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Create a folder and turn write errors there into a StoreError."""
    with writing(folder, CACHE_REMEDY):
        folder.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Lock the download of a file; the operating system releases locks of ended processes."""
    from filelock import FileLock, Timeout  # slow: imports asyncio

    locks = cache_folder() / "locks"
    lock = FileLock(locks / hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:16])
    with _writable(locks):
        try:
            lock.acquire(timeout=1)
        except Timeout:
            print(f"waiting for another process that downloads {target.name}", file=sys.stderr)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check(
    path: Path,
    sha256: str,
    origin: str = "",
    remedy: str = "Correct the hash, or replace the file.",
) -> None:
    """Raise HashError, naming both hashes, unless the file's hash starts with `sha256`."""
    actual = file_sha256(path)
    if not actual.startswith(sha256.lower()):
        raise HashError(f"{origin or path} has SHA-256 {actual} instead of {sha256}. {remedy}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits; hashes of large files are cached."""
    return sha256_of(path) if path.stat().st_size <= SMALL_BYTES else file_sha256s([path])[0]


def file_sha256s(paths: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file; all hashes are cached."""
    return recall(paths, "sha256", sha256_of)


def sha256_of(path: Path) -> str:
    """Read a file and return its SHA-256 as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_name(url: str) -> str:
    """Return a file name for a URL: the last part of its path, or its host.

    The name has no slash and at most MAX_NAME_LENGTH bytes.
    """
    parts = urlsplit(url)
    name = Path(unquote(parts.path).replace("\0", "")).name or parts.hostname or "file"
    return name.encode()[-MAX_NAME_LENGTH:].decode(errors="ignore")
