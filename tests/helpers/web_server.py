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
    faults: dict[str, Callable[[Request], None]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)  # names, with the range of a partial request
    closing: threading.Event = field(default_factory=threading.Event)


class Request(http.server.BaseHTTPRequestHandler):
    """One request; a fault for its file replaces the response until the fault is removed."""

    web: Web

    def do_GET(self) -> None:
        self.name = unquote(self.path).lstrip("/")
        requested_range = self.headers.get("Range", "")
        self.web.requests.append(f"{self.name} {requested_range}".strip())
        self.start = int(requested_range.removeprefix("bytes=").rstrip("-") or 0)
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
            total = len(self.web.files[self.name])
            self.send_header("Content-Range", f"bytes {self.start}-{total - 1}/{total}")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def status(code: int) -> Callable[[Request], None]:
    """Respond with an error."""
    return lambda request: request.send_error(code)


def never(request: Request) -> None:
    """Accept the request and do not respond until the test ends."""
    request.web.closing.wait(30)


def cut(after: int, times: int = 1) -> Callable[[Request], None]:
    """Close the connection after some bytes, `times` times; then respond correctly."""
    remaining = times

    def fault(request: Request) -> None:
        nonlocal remaining
        request.head()
        remaining -= 1
        request.wfile.write(request.body[:after] if remaining >= 0 else request.body)

    return fault


def trickle(size: int, seconds: float) -> Callable[[Request], None]:
    """Send the file in pieces of `size` bytes, with a pause after each."""

    def fault(request: Request) -> None:
        request.head()
        for at in range(0, len(request.body), size):
            request.wfile.write(request.body[at : at + size])
            request.wfile.flush()
            if request.web.closing.wait(seconds):
                return

    return fault


@contextmanager
def running() -> Iterator[Web]:
    """Run a server until the block ends."""
    web = Web()
    handler = type("Handler", (Request,), {"web": web})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that closed the connection
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        web.url = f"http://127.0.0.1:{server.server_port}"
        yield web
        web.closing.set()
        server.shutdown()
        thread.join()
