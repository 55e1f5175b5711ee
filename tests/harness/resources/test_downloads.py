"""Downloads from a local server that fails in many ways."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import AbsentError, HashError, SourceError, StoreError
from harness.resources import downloads, http_transfer
from harness.resources.downloads import Network
from tests.helpers import web_server as web
from tests.helpers.web_server import Web

CONTENT = b"a painting" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(web_server: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """Serve one file, with short timeouts and no wait between attempts."""
    monkeypatch.setattr(downloads, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(http_transfer, "READ_SECONDS", 0.3)
    web_server.files["a.png"] = CONTENT
    return web_server


def fetch(server: Web, target: Path, sha256: str = SHA256, network: Network | None = None) -> Path:
    return (network or Network()).fetch(f"{server.url}/a.png", target, sha256)


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_downloaded_once(server: Web, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "a.png"
    assert fetch(server, target).read_bytes() == CONTENT
    assert fetch(server, target) == target
    assert server.requests == ["a.png"]
    assert files_in(target.parent) == ["a.png"]


def test_the_leading_digits_of_a_hash_suffice(server: Web, tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "a", SHA256[:8]).exists()


def test_a_wrong_hash_is_rejected_with_both_hashes_and_leaves_no_file(
    server: Web, tmp_path: Path
) -> None:
    expected = "0" * 64
    with pytest.raises(HashError, match=rf"has SHA-256 {SHA256} instead of {expected}"):
        fetch(server, tmp_path / "cache" / "a", expected)
    assert files_in(tmp_path / "cache") == []


def test_an_existing_file_with_a_wrong_hash_is_kept_without_a_request(
    server: Web, tmp_path: Path
) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    old = hashlib.sha256(b"old").hexdigest()
    with pytest.raises(HashError, match=f"{old} instead of {SHA256}"):
        fetch(server, target)
    assert target.read_bytes() == b"old"
    assert server.requests == []


@pytest.mark.parametrize(("code", "attempts"), [(404, 1), (403, 1), (500, 3), (503, 3), (429, 3)])
def test_error_codes_are_reported_and_temporary_ones_are_retried_three_times(
    server: Web, tmp_path: Path, code: int, attempts: int
) -> None:
    server.faults["a.png"] = web.status(code)
    kind = AbsentError if code == 404 else SourceError
    with pytest.raises(kind, match=rf"a\.png cannot be fetched: 127\.0\.0\.1 answers {code}"):
        fetch(server, tmp_path / "cache" / "a")
    assert len(server.requests) == attempts
    assert files_in(tmp_path / "cache") == []


def test_a_temporary_error_does_not_fail_the_download(server: Web, tmp_path: Path) -> None:
    def once(request: web.Request) -> None:
        del server.faults["a.png"]
        request.send_error(503)

    server.faults["a.png"] = once
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_an_interrupted_download_is_resumed(server: Web, tmp_path: Path) -> None:
    server.faults["a.png"] = web.cut(after=3000)
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert server.requests == ["a.png", "a.png bytes=3000-"]


def test_a_server_without_range_requests_starts_the_download_again(
    server: Web, tmp_path: Path
) -> None:
    def whole(request: web.Request) -> None:
        request.start = 0
        web.cut(after=3000 if len(server.requests) == 1 else len(CONTENT))(request)

    server.faults["a.png"] = whole
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_a_partial_file_is_not_used_and_the_next_call_resumes_it(
    server: Web, tmp_path: Path
) -> None:
    target = tmp_path / "cache" / "a"
    server.faults["a.png"] = web.cut(after=1000, times=3)
    with pytest.raises(SourceError, match=r"the connection to 127\.0\.0\.1 was interrupted"):
        fetch(server, target)
    assert not target.exists()
    server.faults.clear()
    assert fetch(server, target).read_bytes() == CONTENT
    assert server.requests[-1] == "a.png bytes=3000-"
    assert files_in(target.parent) == ["a"]


def test_a_wrong_partial_file_is_discarded(server: Web, tmp_path: Path) -> None:
    (tmp_path / f".part-{SHA256[:16]}-a").write_bytes(b"something else")
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_an_unresponsive_server_gets_no_further_requests(server: Web, tmp_path: Path) -> None:
    server.faults["a.png"] = web.never
    network = Network()
    for _ in range(2):
        with pytest.raises(SourceError, match=r"127\.0\.0\.1 does not answer"):
            fetch(server, tmp_path / "a", network=network)
    assert len(server.requests) == downloads.ATTEMPTS


def test_a_slow_download_succeeds(
    server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_transfer, "MIN_BYTES_PER_SECOND", 1000)
    server.faults["a.png"] = web.trickle(500, 0.05)  # 10,000 bytes a second, for a second
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert server.requests == ["a.png"]


def test_a_download_below_the_minimum_speed_fails(server: Web, tmp_path: Path) -> None:
    server.faults["a.png"] = web.trickle(1, 0.1)  # 10 bytes a second would take a quarter hour
    with pytest.raises(SourceError, match=r"127\.0\.0\.1 sends \d+ bytes a second"):
        fetch(server, tmp_path / "a")


def test_a_host_gets_no_request_after_a_failed_connection(tmp_path: Path) -> None:
    network = Network()
    for _ in range(2):
        with pytest.raises(SourceError, match=r"no connection to 127\.0\.0\.1"):
            network.fetch("http://127.0.0.1:1/a.png", tmp_path / "a", SHA256)


def test_offline_sends_no_request(server: Web, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--offline was given"):
        fetch(server, tmp_path / "a", network=Network(offline=True))
    assert server.requests == []


def test_the_error_names_a_folder_that_cannot_be_written(server: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file cannot be written: .* NSTBENCH_CACHE"):
        fetch(server, tmp_path / "file" / "a")


def test_read_stops_at_its_limit(server: Web) -> None:
    with pytest.raises(SourceError, match="more than 5,000 bytes"):
        Network().read(f"{server.url}/a.png", 5000)
    assert Network().read(f"{server.url}/a.png", 50_000) == CONTENT


def _fetch_in_process(url: str, target: Path, done: Any) -> None:
    done.put(Network().fetch(url, target, SHA256).read_bytes() == CONTENT)


def test_two_processes_download_a_file_once(server: Web, tmp_path: Path) -> None:
    server.faults["a.png"] = web.trickle(2000, 0.3)
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    arguments = (f"{server.url}/a.png", tmp_path / "cache" / "a", done)
    both = [context.Process(target=_fetch_in_process, args=arguments) for _ in range(2)]
    for process in both:
        process.start()
    assert [done.get(timeout=60), done.get(timeout=60)] == [True, True]
    for process in both:
        process.join()
    assert server.requests == ["a.png"]
    assert files_in(tmp_path / "cache") == ["a"]


def test_a_killed_download_releases_its_lock(server: Web, tmp_path: Path) -> None:
    server.faults["a.png"] = web.trickle(1000, 0.2)
    context = multiprocessing.get_context("spawn")
    arguments = (f"{server.url}/a.png", tmp_path / "a", context.Queue())
    process = context.Process(target=_fetch_in_process, args=arguments)
    process.start()
    while not (part := tmp_path / f".part-{SHA256[:16]}-a").exists() or not part.stat().st_size:
        process.join(0.01)
    process.kill()
    process.join()
    server.faults.clear()
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_a_large_download_is_announced_without_a_terminal(
    server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http_transfer, "MIN_ANNOUNCED_BYTES", 5000)
    fetch(server, tmp_path / "a")
    assert "downloading a.png (0 MB)" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_progress_bar(server: Web, tmp_path: Path) -> None:
    import pty
    import subprocess

    server.faults["a.png"] = web.trickle(2000, 0.1)
    code = (
        "import sys; from pathlib import Path; from harness.resources.downloads import Network; "
        f"Network().fetch('{server.url}/a.png', Path(sys.argv[1]), '{SHA256}')"
    )
    parent, child = pty.openpty()
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stderr=child, env=environment) as process:
        os.close(child)
        seen = b""
        try:
            while chunk := os.read(parent, 4096):
                seen += chunk
        except OSError:  # Linux raises it when the other end is closed
            pass
    os.close(parent)
    assert process.returncode == 0
    assert b"downloading a.png" in seen
    assert b"/10.0 kB" in seen
