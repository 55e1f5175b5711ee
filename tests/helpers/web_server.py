"""A real web server on this machine that can inject faults."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass
class Web:
    """The files of a server by name, and the faults for some of them."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, Callable[[Answer], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # names, with the range of a partial request
    closing: threading.Event = field(default_factory=threading.Event)


class Answer(http.server.BaseHTTPRequestHandler):
    """One request; a fault for its file replaces the response until the fault is removed."""

    web: Web

    def do_GET(self) -> None:
        self.name = unquote(self.path).lstrip("/")
        asked_range = self.headers.get("Range", "")
        self.web.asked.append(f"{self.name} {asked_range}".strip())
        self.start = int(asked_range.removeprefix("bytes=").rstrip("-") or 0)
        fault = self.web.faults.get(self.name)
        if fault is not None:
            fault(self)
        elif self.name not in self.web.files:
            self.send_error(404)
        else:
            self.head()
            self.wfile.write(self.body)

    @property
    def body(self) -> bytes:
        """The requested rest of the file."""
        return self.web.files[self.name][self.start :]

    def head(self, status: int | None = None) -> None:
        """Send the status and headers of a valid response."""
        self.send_response(status or (206 if self.start else 200))
        self.send_header("Content-Length", str(len(self.body)))
        if self.start:
            whole = len(self.web.files[self.name])
            self.send_header("Content-Range", f"bytes {self.start}-{whole - 1}/{whole}")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def status(code: int) -> Callable[[Answer], None]:
    """Respond with an error."""
    return lambda answer: answer.send_error(code)


def never(answer: Answer) -> None:
    """Accept the request and do not respond until the test ends."""
    answer.web.closing.wait(30)


def cut(after: int, times: int = 1) -> Callable[[Answer], None]:
    """Close the connection after some bytes, `times` times; then respond correctly."""
    left = [times]

    def fault(answer: Answer) -> None:
        answer.head()
        left[0] -= 1
        answer.wfile.write(answer.body[:after] if left[0] >= 0 else answer.body)

    return fault


def trickle(size: int, seconds: float) -> Callable[[Answer], None]:
    """Send the file in pieces of `size` bytes, with a pause after each."""

    def fault(answer: Answer) -> None:
        answer.head()
        for at in range(0, len(answer.body), size):
            answer.wfile.write(answer.body[at : at + size])
            answer.wfile.flush()
            if answer.web.closing.wait(seconds):
                return

    return fault


@contextmanager
def running() -> Iterator[Web]:
    """Run a server until the block ends."""
    web = Web()
    handler = type("Handler", (Answer,), {"web": web})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that closed the connection
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        web.url = f"http://127.0.0.1:{server.server_port}"
        yield web
        web.closing.set()
        server.shutdown()
        thread.join()
