"""Download one file over HTTP, with timeouts, a minimum speed and resumption."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from harness.filesystem import ensure_room

if TYPE_CHECKING:
    import requests
    from rich.progress import Progress

    Advance: TypeAlias = Callable[[int], None]

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
MIN_BYTES_PER_SECOND = 1000
"""Average over READ_SECONDS; a slower server counts as unresponsive."""

MAX_BYTES = 8 << 30
CHUNK = 1 << 18
MIN_ANNOUNCED_BYTES = 5 << 20
"""Without a terminal for a progress bar, only larger files are announced."""

TEMPORARY = {408, 425, 429, 500, 502, 503, 504}
"""Status codes that are retried."""

ABSENT = {404, 410}
OK, PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 200, 206, 416


class TransferError(Exception):
    """A failed attempt.

    `temporary`: a retry may succeed. `silent`: the host does not answer. `absent`: the server
    does not have the file.
    """

    def __init__(
        self, why: str, *, temporary: bool = False, silent: bool = False, absent: bool = False
    ) -> None:
        super().__init__(why)
        self.temporary, self.silent, self.absent = temporary, silent, absent


def download(url: str, part: Path, max_bytes: int = MAX_BYTES) -> None:
    """Download `url` to `part`, and resume an earlier attempt that left bytes there.

    Raises:
        TransferError: The file is incomplete; `part` keeps the received bytes for a retry.
        OSError: `part` cannot be written, or the disk has no room for the file.
    """
    import requests  # half a second to import
    from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

    host = urlsplit(url).hostname
    timeout = TransferError(f"{host} does not answer", temporary=True, silent=True)
    broken = TransferError(f"the connection to {host} was interrupted", temporary=True)
    try:
        _get(url, part, max_bytes)
    except requests.ConnectTimeout as error:
        raise TransferError(f"no connection to {host}", silent=True) from error
    except (requests.Timeout, ReadTimeoutError) as error:
        raise timeout from error
    except requests.ConnectionError as error:
        if isinstance(error.args[0] if error.args else None, ProtocolError):
            raise broken from error
        raise TransferError(f"no connection to {host}", silent=True) from error
    except HTTPError as error:
        raise broken from error
    except requests.RequestException as error:
        raise TransferError(str(error)) from error


def _get(url: str, part: Path, max_bytes: int) -> None:
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "nstbench"}
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    with requests.get(url, stream=True, timeout=timeout, headers=headers) as answer:
        status = answer.status_code
        if status == RANGE_NOT_SATISFIABLE and have:
            return  # complete or wrong; the caller checks the hash
        if status not in {OK, PARTIAL_CONTENT}:
            raise TransferError(
                f"{urlsplit(url).hostname} answers {status} {answer.reason}",
                temporary=status in TEMPORARY, absent=status in ABSENT,
            )  # fmt: skip
        resumes = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) <= max_bytes:
            ensure_room(part.parent, int(length))
        with part.open("ab" if resumes else "wb") as file:
            _copy(answer, file, have if resumes else 0, max_bytes)


def _copy(answer: requests.Response, file: IO[bytes], have: int, max_bytes: int) -> None:
    length = answer.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else None
    chunks = _chunks(answer)
    with _bar(Path(unquote(urlsplit(answer.url).path)).name, total, have) as advance:
        for chunk in chunks:
            file.write(chunk)
            advance(len(chunk))
            have += len(chunk)
            if have > max_bytes:
                raise TransferError(f"it has more than {max_bytes:,} bytes")


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """Yield bytes as they arrive; raise TransferError if the server is too slow."""
    since, received = time.monotonic(), 0
    while chunk := answer.raw.read1(CHUNK):  # iter_content waits for whole chunks
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - since
        if seconds > READ_SECONDS:
            if received < MIN_BYTES_PER_SECOND * seconds:
                host = urlsplit(answer.url).hostname
                why = f"{host} sends {received / seconds:.0f} bytes a second"
                raise TransferError(why, temporary=True, silent=True)
            since, received = time.monotonic(), 0


@contextmanager
def _bar(name: str, total: int | None, have: int) -> Iterator[Advance]:
    if sys.stderr.isatty():
        with _progress() as progress:
            task = progress.add_task(name, total=total, completed=have)
            yield lambda count: progress.advance(task, count)
        return
    if (total or 0) > MIN_ANNOUNCED_BYTES:
        print(f"downloading {name} ({(total or 0) / 1e6:.0f} MB)", file=sys.stderr, flush=True)
    yield lambda count: None


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("downloading {task.description}"), BarColumn(bar_width=24), DownloadColumn(),
        TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
