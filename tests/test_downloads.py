"""Fetching, against a real server on this machine."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.downloads import Network
from harness.errors import SourceError

CONTENT = b"a painting" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.png").write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server: str, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "a.png"
    assert Network().fetch(f"{server}/a.png", target, SHA256).read_bytes() == CONTENT
    closed = Network(offline=True)  # the second time nobody is asked
    assert closed.fetch(f"{server}/a.png", target, SHA256) == target


def test_the_head_of_a_hash_is_enough(server: str, tmp_path: Path) -> None:
    assert Network().fetch(f"{server}/a.png", tmp_path / "a", SHA256[:8]).exists()


def test_other_bytes_are_refused_with_both_hashes_and_leave_nothing(
    server: str, tmp_path: Path
) -> None:
    wanted = "0" * 64
    with pytest.raises(SourceError, match=rf"has SHA-256 {SHA256}, but {wanted} was asked for"):
        Network().fetch(f"{server}/a.png", tmp_path / "cache" / "a", wanted)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_not_there_is_told(server: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="404"):
        Network().fetch(f"{server}/b.png", tmp_path / "b", SHA256)


def test_after_one_failed_connection_the_network_counts_as_closed(tmp_path: Path) -> None:
    network = Network()
    for _ in range(2):
        with pytest.raises(SourceError, match=r"no connection to 127\.0\.0\.1"):
            network.fetch("http://127.0.0.1:1/a.png", tmp_path / "a", SHA256)


def test_offline_never_asks(server: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--offline was given"):
        Network(offline=True).fetch(f"{server}/a.png", tmp_path / "a", SHA256)
