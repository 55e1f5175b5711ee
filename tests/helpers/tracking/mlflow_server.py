"""A real MLflow server on this machine, and a proxy in front of it that injects faults."""

from __future__ import annotations

import http.client
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

WRITES = (
    "/create", "/update", "/delete", "/restore", "/log-batch", "/set-tag", "/set-experiment-tag",
    "/delete-tag", "/log-inputs",
)  # fmt: skip


@dataclass
class Server:
    """`mlflow server` with a database and a folder of artifacts; it can be killed and restarted."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    backend: str = ""  # a database file in `folder` if empty

    @property
    def database(self) -> str:
        return self.backend or f"sqlite:///{self.folder / 'server.db'}"

    def start(self) -> None:
        """Start the process if it is not running; `wait` returns when it responds."""
        if self.process is not None:
            return
        self.folder.mkdir(exist_ok=True)
        self.port = self.port or free_port()
        log = (self.folder / "server.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
             "--port", str(self.port), "--backend-store-uri", self.database, "--workers", "1",
             "--artifacts-destination", str(self.folder / "artifacts")],
            stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip
        log.close()

    def wait(self, seconds: float = 180) -> None:
        """Wait until the server responds."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1).close()
                return
            time.sleep(0.05)
        raise TimeoutError((self.folder / "server.log").read_text(errors="replace")[-2000:])

    def kill(self) -> None:
        """Kill the server and its workers without a shutdown."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def running_server(server: Server) -> Iterator[Server]:
    """Start a server, wait until it responds, and kill it at the end of the block."""
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()


@dataclass
class Proxy:
    """Forwards requests to a server, except those for which `plan` returns a fault."""

    port: int  # of the server
    plan: Plan = lambda number, request: None  # no faults
    requests: list[str] = field(default_factory=list)  # `POST /api/2.0/mlflow/runs/create`
    closing: threading.Event = field(default_factory=threading.Event)
    _server: http.server.ThreadingHTTPServer | None = None
    _own_port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._own_port}"

    @property
    def writes(self) -> list[str]:
        """The requests that change data."""
        return [text for text in self.requests if text.startswith("PUT") or text.endswith(WRITES)]

    def up(self) -> None:
        """Listen, after `down` on the same port as before."""
        handler = type("Handler", (ProxiedRequest,), {"proxy": self})
        self.closing = threading.Event()
        self._server = _Listener(("127.0.0.1", self._own_port), handler)
        self._own_port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and end requests that hang."""
        self.closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Ignore clients that closed the connection."""


class ProxiedRequest(http.server.BaseHTTPRequestHandler):
    """One request."""

    proxy: Proxy
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = f"{self.command} {self.path.partition('?')[0]}"
        self.proxy.requests.append(request)
        (self.proxy.plan(len(self.proxy.requests), request) or forward)(self)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names that http.server calls

    def response(self) -> tuple[int, str, bytes]:
        """Return the response of the server."""
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=60)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            connection.request(self.command, self.path, self.body, headers)
            response = connection.getresponse()
            content_type = response.getheader("Content-Type", "text/plain")
            return response.status, content_type, response.read()
        finally:
            connection.close()

    def send(self, status: int, kind: str, body: bytes, limit: int | None = None) -> None:
        """Send a response, or only its first `limit` bytes."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:limit])
        if limit is not None:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


Fault: TypeAlias = Callable[[ProxiedRequest], None]
Plan: TypeAlias = Callable[[int, str], Fault | None]
"""Returns the fault for a request, given its number, from 1, and `POST /api/2.0/...`."""


def no_faults(number: int, request: str) -> Fault | None:
    """Plan no faults."""


def after(count: int, fault: Fault) -> Plan:
    """Plan a fault for every request after the first `count`."""
    return lambda number, request: fault if number > count else None


def every_third(fault: Fault, *which: str) -> Plan:
    """Plan a fault for every third request of each kind in `which`."""
    requests = Counter[str]()

    def plan(number: int, request: str) -> Fault | None:
        kind = next((each for each in which if each in request), "")
        requests[kind] += 1
        return fault if kind and requests[kind] % 3 == 1 else None

    return plan


def forward(request: ProxiedRequest) -> None:
    """Forward the request and its response."""
    try:
        response = request.response()
    except (OSError, http.client.HTTPException):
        request.close_connection = True  # behave like a server that is down
        return
    request.send(*response)


def hang(request: ProxiedRequest) -> None:
    """Accept the request and do not respond until the proxy goes down."""
    request.close_connection = True
    request.proxy.closing.wait(600)


def drop_request(request: ProxiedRequest) -> None:
    """Close the connection without forwarding the request."""
    request.close_connection = True


def drop_response(request: ProxiedRequest) -> None:
    """Forward the request, and close the connection without a response."""
    request.response()
    request.close_connection = True


def withhold_response(request: ProxiedRequest) -> None:
    """Forward the request, and do not respond until the proxy goes down."""
    request.response()
    hang(request)


def truncate_response(request: ProxiedRequest) -> None:
    """Forward the request, and close the connection in the middle of the response."""
    status, kind, body = request.response()
    request.send(status, kind, body, len(body) // 2)


def status(code: int) -> Fault:
    """Respond with an error without forwarding the request."""
    return lambda request: request.send(code, "text/plain", b"no")


def kill(server: Server, when: str, *, restart: bool) -> Fault:
    """Kill the server before, during or after the request, and start it again if `restart`."""

    def fault(request: ProxiedRequest) -> None:
        request.close_connection = True
        if when == "during":
            threading.Timer(0.01, server.kill).start()
        if when != "before":
            with suppress(OSError, http.client.HTTPException):
                request.response()
        while server.process is not None and when == "during":
            time.sleep(0.01)
        server.kill()
        if restart:
            server.start()

    return fault


def respond_with(body: bytes, kind: str = "text/html") -> Fault:
    """Respond with `body`, like a server of another kind."""
    return lambda request: request.send(200, kind, body)


def delayed(seconds: float) -> Fault:
    """Forward the request after a delay."""

    def fault(request: ProxiedRequest) -> None:
        request.proxy.closing.wait(seconds)
        forward(request)

    return fault


@contextmanager
def running_proxy(port: int) -> Iterator[Proxy]:
    """Run a proxy in front of the server at a port."""
    proxy = Proxy(port)
    proxy.up()
    try:
        yield proxy
    finally:
        proxy.down()


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
