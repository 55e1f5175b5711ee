"""Fetch a pinned file once: checked by hash, never half there, never waiting for ever."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import platformdirs

from harness.errors import SourceError

CONNECT_SECONDS, READ_SECONDS = 5, 30


class Network:
    """The way out of this machine; a host that cannot be reached is not tried again."""

    def __init__(self, *, offline: bool = False) -> None:
        self.offline = offline
        self._unreachable: set[str] = set()

    def fetch(self, url: str, target: Path, sha256: str) -> Path:
        """Download `url` to `target`, with a progress bar where there is a terminal.

        Args:
            url: Where the file is.
            target: Where it goes; a file that is already there is checked, not fetched.
            sha256: Its hash, or as many leading digits as its publisher gives.

        Raises:
            SourceError: The network is closed, the server refuses, or the bytes are others.
        """
        if target.exists():
            check(target, sha256)
            return target
        host = urlsplit(url).hostname or ""
        if self.offline or host in self._unreachable:
            why = "--offline was given" if self.offline else f"no connection to {host}"
            raise SourceError(f"{Path(url).name} cannot be fetched: {why}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".part-{os.getpid()}-{target.name}")
        try:
            self._download(url, part)
            check(part, sha256, url)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def _download(self, url: str, part: Path) -> None:
        import pooch  # it brings requests along: half a second that most runs need not pay
        import requests

        download = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(), timeout=(CONNECT_SECONDS, READ_SECONDS)
        )
        try:
            download(url, str(part), None)
        except requests.ConnectionError as error:
            host = urlsplit(url).hostname or ""
            self._unreachable.add(host)
            raise SourceError(
                f"{Path(url).name} cannot be fetched: no connection to {host}."
            ) from error
        except (requests.RequestException, OSError) as error:
            raise SourceError(f"{url} cannot be fetched: {error}.") from error


def check(path: Path, sha256: str, origin: str = "") -> None:
    """Raise SourceError, naming both hashes, unless the file's hash begins with `sha256`."""
    found = file_sha256(path)
    if not found.startswith(sha256.lower()):
        raise SourceError(
            f"{origin or path} has SHA-256 {found}, but {sha256} was asked for. "
            "Either the file changed, or the hash in the suite is wrong."
        )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return where fetched files are kept: NSTBENCH_CACHE, or the user's cache folder."""
    return Path(os.environ.get("NSTBENCH_CACHE") or platformdirs.user_cache_dir("nstbench"))
