"""Fetching, against a real server on this machine that misbehaves in every way it can."""

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
    """It has one file; attempts follow each other at once and silence is noticed soon."""
    monkeypatch.setattr(downloads, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(http_transfer, "READ_SECONDS", 0.3)
    web_server.files["a.png"] = CONTENT
    return web_server


def fetch(server: Web, target: Path, sha256: str = SHA256, network: Network | None = None) -> Path:
    return (network or Network()).fetch(f"{server.url}/a.png", target, sha256)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_once(server: Web, tmp_path: Path) -> None:
    target = tmp_path / "cache" / "a.png"
    assert fetch(server, target).read_bytes() == CONTENT
    assert fetch(server, target) == target
    assert server.asked == ["a.png"]
    assert left_in(target.parent) == ["a.png"]


def test_the_head_of_a_hash_is_enough(server: Web, tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "a", SHA256[:8]).exists()


def test_other_bytes_are_refused_with_both_hashes_and_leave_nothing(
    server: Web, tmp_path: Path
) -> None:
    wanted = "0" * 64
    with pytest.raises(HashError, match=rf"has SHA-256 {SHA256}, but {wanted} was asked for"):
        fetch(server, tmp_path / "cache" / "a", wanted)
    assert left_in(tmp_path / "cache") == []


def test_a_file_of_another_hash_is_kept_and_nobody_is_asked(server: Web, tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_bytes(b"old")
    old = hashlib.sha256(b"old").hexdigest()
    with pytest.raises(HashError, match=f"{old}, but {SHA256} was asked for"):
        fetch(server, target)
    assert target.read_bytes() == b"old"
    assert server.asked == []


@pytest.mark.parametrize(("code", "attempts"), [(404, 1), (403, 1), (500, 3), (503, 3), (429, 3)])
def test_a_refusal_is_told_and_what_may_pass_is_tried_three_times(
    server: Web, tmp_path: Path, code: int, attempts: int
) -> None:
    server.faults["a.png"] = web.status(code)
    kind = AbsentError if code == 404 else SourceError
    with pytest.raises(kind, match=rf"a\.png cannot be fetched: 127\.0\.0\.1 answers {code}"):
        fetch(server, tmp_path / "cache" / "a")
    assert len(server.asked) == attempts
    assert left_in(tmp_path / "cache") == []


def test_an_error_that_passes_costs_nothing(server: Web, tmp_path: Path) -> None:
    def once(answer: web.Answer) -> None:
        del server.faults["a.png"]
        answer.send_error(503)

    server.faults["a.png"] = once
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_a_broken_connection_goes_on_where_it_broke(server: Web, tmp_path: Path) -> None:
    server.faults["a.png"] = web.cut(after=3000)
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == ["a.png", "a.png bytes=3000-"]


def test_a_server_that_cannot_go_on_begins_again(server: Web, tmp_path: Path) -> None:
    def whole(answer: web.Answer) -> None:
        answer.start = 0
        web.cut(after=3000 if len(server.asked) == 1 else len(CONTENT))(answer)

    server.faults["a.png"] = whole
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_half_a_file_is_never_taken_for_whole_and_serves_the_next_call(
    server: Web, tmp_path: Path
) -> None:
    target = tmp_path / "cache" / "a"
    server.faults["a.png"] = web.cut(after=1000, times=3)
    with pytest.raises(SourceError, match=r"the connection to 127\.0\.0\.1 broke off"):
        fetch(server, target)
    assert not target.exists()
    server.faults.clear()
    assert fetch(server, target).read_bytes() == CONTENT
    assert server.asked[-1] == "a.png bytes=3000-"
    assert left_in(target.parent) == ["a"]


def test_a_wrong_head_from_an_earlier_call_is_thrown_away(server: Web, tmp_path: Path) -> None:
    (tmp_path / f".part-{SHA256[:16]}-a").write_bytes(b"something else")
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT


def test_a_server_that_never_answers_is_given_up_and_not_asked_again(
    server: Web, tmp_path: Path
) -> None:
    server.faults["a.png"] = web.never
    network = Network()
    for _ in range(2):
        with pytest.raises(SourceError, match=r"127\.0\.0\.1 does not answer"):
            fetch(server, tmp_path / "a", network=network)
    assert len(server.asked) == downloads.ATTEMPTS


def test_a_server_that_is_slow_is_waited_for(
    server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_transfer, "MIN_PACE", 1000)
    server.faults["a.png"] = web.trickle(500, 0.05)  # 10,000 bytes a second, for a second
    assert fetch(server, tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == ["a.png"]


def test_a_server_that_trickles_is_given_up(server: Web, tmp_path: Path) -> None:
    server.faults["a.png"] = web.trickle(1, 0.1)  # 10 bytes a second would take a quarter hour
    with pytest.raises(SourceError, match=r"127\.0\.0\.1 sends \d+ bytes a second"):
        fetch(server, tmp_path / "a")


def test_after_one_failed_connection_a_host_counts_as_closed(tmp_path: Path) -> None:
    network = Network()
    for _ in range(2):
        with pytest.raises(SourceError, match=r"no connection to 127\.0\.0\.1"):
            network.fetch("http://127.0.0.1:1/a.png", tmp_path / "a", SHA256)


def test_offline_never_asks(server: Web, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="--offline was given"):
        fetch(server, tmp_path / "a", network=Network(offline=True))
    assert server.asked == []


def test_a_folder_that_cannot_be_written_is_named(server: Web, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"file cannot be written: .* NSTBENCH_CACHE"):
        fetch(server, tmp_path / "file" / "a")


def test_more_than_was_agreed_to_is_not_read(server: Web) -> None:
    with pytest.raises(SourceError, match="more than 5,000 bytes"):
        Network().read(f"{server.url}/a.png", 5000)
    assert Network().read(f"{server.url}/a.png", 50_000) == CONTENT


def _fetch_in_process(url: str, target: Path, done: Any) -> None:
    done.put(Network().fetch(url, target, SHA256).read_bytes() == CONTENT)


def test_two_processes_fetch_a_file_once(server: Web, tmp_path: Path) -> None:
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
    assert server.asked == ["a.png"]
    assert left_in(tmp_path / "cache") == ["a"]


def test_a_process_that_dies_while_fetching_blocks_nobody(server: Web, tmp_path: Path) -> None:
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


def test_a_large_file_is_announced_where_no_bar_can_be_drawn(
    server: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http_transfer, "TOLD_BYTES", 5000)
    fetch(server, tmp_path / "a")
    assert "fetching a.png (0 MB)" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_bar(server: Web, tmp_path: Path) -> None:
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
        except OSError:  # Linux's way to say that the other end is closed
            pass
    os.close(parent)
    assert process.returncode == 0
    assert b"fetching a.png" in seen
    assert b"/10.0 kB" in seen
