"""Fetch a pinned file once: checked by hash, never half there, never waiting for ever."""

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
"""The wait doubles from one attempt to the next."""

ELSEWHERE = "choose other folders with NSTBENCH_CACHE and TORCH_HOME"
MAX_NAME_LENGTH = 150
"""Bytes; file systems allow 255, and a hash and `.part-` go before it."""

SMALL_BYTES = 2**20
"""So much is hashed sooner than its hash is looked up."""


class Network:
    """The way out of this machine; a host that does not answer is not asked again."""

    def __init__(self, *, offline: bool = False, why: str = "--offline was given") -> None:
        self.closed = why if offline else ""
        self.fetched: set[Path] = set()
        self._silent: dict[str, str] = {}  # host -> why it is not asked again

    def fetch(self, url: str, target: Path, sha256: str) -> Path:
        """Download `url` to `target`; two processes that want the same file fetch it once.

        Args:
            url: Where the file is.
            target: Where it goes; a file that is already there is checked, not fetched.
            sha256: Its hash, or as many leading digits as its publisher gives.

        Raises:
            SourceError: The network is closed, or the server refuses.
            StoreError: The disk refuses.
            AbsentError: The server does not have it.
            HashError: The bytes are others; nothing of them is kept.
        """
        if not target.exists():
            self._refuse_closed(url)
            with _writable(target.parent), _alone(target):
                if not target.exists():  # while waiting, another process may have got it
                    self._fetch(url, target, sha256)
                    self.fetched.add(target)
                    return target
        check(target, sha256, remedy="Delete it to have it fetched anew.")
        return target

    def read(self, url: str, most_bytes: int) -> bytes:
        """Return the bytes of a small file that has no pinned hash.

        Raises:
            AbsentError: The server does not have it.
            SourceError: As for `fetch`.
        """
        self._refuse_closed(url)
        target = cache_folder() / "unpinned" / hashlib.sha256(url.encode()).hexdigest()
        with _writable(target.parent), _alone(target):
            target.unlink(missing_ok=True)  # what a killed process left may be of yesterday
            try:
                self._attempts(url, target, most_bytes)
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
            self._fetch(url, target, sha256)  # the head that was left may have been the wrong one
        else:
            part.replace(target)

    def _attempts(self, url: str, part: Path, most_bytes: int) -> None:
        """Try several times what may pass; what arrived is kept from one attempt to the next."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                download(url, part, most_bytes)
            except TransferError as error:
                if error.passing and attempt < ATTEMPTS:
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
    """Make a folder and turn what the disk refuses there into a StoreError."""
    with writing(folder, ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Let one process at a time fetch a file; the lock of a dead one is free."""
    from filelock import FileLock, Timeout  # imports asyncio, which most commands never need

    locks = cache_folder() / "locks"
    lock = FileLock(locks / hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:16])
    with _writable(locks):
        try:
            lock.acquire(timeout=1)
        except Timeout:
            print(f"another process is fetching {target.name}; waiting for it", file=sys.stderr)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check(
    path: Path,
    sha256: str,
    origin: str = "",
    remedy: str = "Either the file changed, or the hash is wrong.",
) -> None:
    """Raise HashError, naming both hashes, unless the file's hash begins with `sha256`."""
    found = file_sha256(path)
    if not found.startswith(sha256.lower()):
        raise HashError(
            f"{origin or path} has SHA-256 {found}, but {sha256} was asked for. {remedy}"
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits; a large one's is remembered."""
    return _hash(path) if path.stat().st_size <= SMALL_BYTES else file_sha256s([path])[0]


def file_sha256s(paths: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file; they are remembered, however small."""
    return recall(paths, "sha256", _hash)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_name(url: str) -> str:
    """Return the last part of a URL's path, or else its host, as a file would be called.

    Whatever the URL, it is a name in one folder: without a slash, no longer than names may be.
    """
    parts = urlsplit(url)
    name = Path(unquote(parts.path).replace("\0", "")).name or parts.hostname or "file"
    return name.encode()[-MAX_NAME_LENGTH:].decode(errors="ignore")
