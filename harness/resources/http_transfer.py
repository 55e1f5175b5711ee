"""One file over HTTP: with time-outs, a least pace, and going on where an attempt broke off."""

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
MIN_PACE = 1000
"""Bytes a second, over READ_SECONDS: a server that trickles more slowly is as good as silent."""

MAX_BYTES = 8 << 30
CHUNK = 1 << 18
TOLD_BYTES = 5 << 20
"""Where there is no terminal to draw a bar on, smaller files are fetched without a word."""

PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another attempt may change."""

ABSENT = {404, 410}
WHOLE, PARTIAL, NOTHING_LEFT = 200, 206, 416


class TransferError(Exception):
    """An attempt that failed.

    `passing`: another one may succeed. `silent`: nobody answers there. `absent`: the server is
    there and the file is not.
    """

    def __init__(
        self, why: str, *, passing: bool = False, silent: bool = False, absent: bool = False
    ) -> None:
        super().__init__(why)
        self.passing, self.silent, self.absent = passing, silent, absent


def download(url: str, part: Path, most_bytes: int = MAX_BYTES) -> None:
    """Write what `url` holds to `part`, after what an earlier attempt left there.

    Raises:
        TransferError: It is not all there; what came stays in `part` for the next attempt.
        OSError: `part` cannot be written, or there is no room for all of it.
    """
    import requests  # half a second that most runs need not pay
    from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

    host = urlsplit(url).hostname
    silence = TransferError(f"{host} does not answer", passing=True, silent=True)
    breach = TransferError(f"the connection to {host} broke off", passing=True)
    try:
        _get(url, part, most_bytes)
    except requests.ConnectTimeout as error:
        raise TransferError(f"no connection to {host}", silent=True) from error
    except (requests.Timeout, ReadTimeoutError) as error:
        raise silence from error
    except requests.ConnectionError as error:
        if isinstance(error.args[0] if error.args else None, ProtocolError):
            raise breach from error
        raise TransferError(f"no connection to {host}", silent=True) from error
    except HTTPError as error:
        raise breach from error
    except requests.RequestException as error:
        raise TransferError(str(error)) from error


def _get(url: str, part: Path, most_bytes: int) -> None:
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "nstbench"}
    if have:
        headers["Range"] = f"bytes={have}-"
    timeout = (CONNECT_SECONDS, READ_SECONDS)
    with requests.get(url, stream=True, timeout=timeout, headers=headers) as answer:
        status = answer.status_code
        if status == NOTHING_LEFT and have:
            return  # it is whole, or other bytes: its hash will tell
        if status not in {WHOLE, PARTIAL}:
            raise TransferError(
                f"{urlsplit(url).hostname} answers {status} {answer.reason}",
                passing=status in PASSING, absent=status in ABSENT,
            )  # fmt: skip
        goes_on = answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) <= most_bytes:
            ensure_room(part.parent, int(length))
        with part.open("ab" if goes_on else "wb") as file:
            _copy(answer, file, have if goes_on else 0, most_bytes)


def _copy(answer: requests.Response, file: IO[bytes], have: int, most_bytes: int) -> None:
    length = answer.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else None
    watched = _paced(answer)
    with _bar(Path(unquote(urlsplit(answer.url).path)).name, total, have) as advance:
        for chunk in watched:
            file.write(chunk)
            advance(len(chunk))
            have += len(chunk)
            if have > most_bytes:
                raise TransferError(f"it has more than {most_bytes:,} bytes")


def _paced(answer: requests.Response) -> Iterator[bytes]:
    """Yield bytes as they come, until a server sends too few for too long."""
    since, received = time.monotonic(), 0
    while chunk := answer.raw.read1(CHUNK):  # requests' own iteration waits for whole chunks
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - since
        if seconds > READ_SECONDS:
            if received < MIN_PACE * seconds:
                host = urlsplit(answer.url).hostname
                why = f"{host} sends {received / seconds:.0f} bytes a second"
                raise TransferError(why, passing=True, silent=True)
            since, received = time.monotonic(), 0


@contextmanager
def _bar(name: str, total: int | None, have: int) -> Iterator[Advance]:
    if sys.stderr.isatty():
        with _progress() as progress:
            task = progress.add_task(name, total=total, completed=have)
            yield lambda count: progress.advance(task, count)
        return
    if (total or 0) > TOLD_BYTES:
        print(f"fetching {name} ({(total or 0) / 1e6:.0f} MB)", file=sys.stderr, flush=True)
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
        TextColumn("fetching {task.description}"), BarColumn(bar_width=24), DownloadColumn(),
        TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
