"""Cached properties of files, and when they become invalid."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.resources.hash_cache import cache_folder, recall

LONG_AGO = 1_000_000_000


@pytest.fixture
def reader() -> Callable[[Path], str]:
    """Return a function that reads a file and counts its calls."""

    def read(path: Path) -> str:
        calls.append(path.name)
        return path.read_text()

    calls: list[str] = []
    read.calls = calls  # type: ignore[attr-defined]
    return read


@pytest.fixture
def write_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that writes files that are cached immediately after a change."""
    monkeypatch.setattr("harness.resources.hash_cache.SETTLED_SECONDS", -3600.0)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_file_is_read_once_until_it_changes(write_settled: Callable, reader: Callable) -> None:
    path = write_settled("a", "one")
    assert [recall([path], "text", reader) for _ in range(3)] == [["one"]] * 3
    assert reader.calls == ["a"]
    write_settled("a", "two")  # of the same length
    assert recall([path], "text", reader) == ["two"]
    assert reader.calls == ["a", "a"]


def test_a_change_with_an_old_modification_time_is_detected(
    write_settled: Callable, reader: Callable
) -> None:
    path = write_settled("a", "one")
    os.utime(path, (LONG_AGO, LONG_AGO))
    recall([path], "text", reader)
    write_settled("a", "two")
    os.utime(path, (LONG_AGO, LONG_AGO))
    assert recall([path], "text", reader) == ["two"]


def test_each_property_is_cached_separately(write_settled: Callable, reader: Callable) -> None:
    path = write_settled("a", "one")
    assert recall([path], "text", reader) == ["one"]
    assert recall([path], "length", lambda path: str(len(path.read_text()))) == ["3"]


def test_only_new_files_are_read_and_order_is_kept(
    write_settled: Callable, reader: Callable
) -> None:
    first, second = write_settled("a", "one"), write_settled("b", "two")
    recall([second], "text", reader)
    assert recall([first, second, first], "text", reader) == ["one", "two", "one"]
    assert reader.calls == ["b", "a"]


def test_a_file_that_just_changed_is_not_cached(tmp_path: Path, reader: Callable) -> None:
    (tmp_path / "a").write_text("one")
    for _ in range(2):
        recall([tmp_path / "a"], "text", reader)
    assert reader.calls == ["a", "a"]


def test_an_error_is_passed_on_and_not_cached(write_settled: Callable, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        recall([tmp_path / "none"], "text", Path.read_text)
    path = write_settled("none", "here")
    assert recall([path], "text", Path.read_text) == ["here"]


def test_a_corrupt_cache_is_replaced(write_settled: Callable, reader: Callable) -> None:
    path, memory = write_settled("a", "one"), cache_folder() / "files.sqlite"
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_bytes(b"not a database" * 100)
    for _ in range(3):
        assert recall([path], "text", reader) == ["one"]
    assert len(reader.calls) < 3


def test_a_read_only_cache_does_not_prevent_results(
    write_settled: Callable, reader: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "file" / "below"))
    assert recall([write_settled("a", "one")], "text", reader) == ["one"]


def test_a_cache_that_another_process_locks_is_skipped(
    write_settled: Callable, reader: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.resources.hash_cache.WAIT_SECONDS", 0.01)
    path = write_settled("a", "one")
    recall([path], "text", reader)
    holder = sqlite3.connect(cache_folder() / "files.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    assert recall([path], "text", reader) == ["one"]
    holder.close()


def test_processes_share_the_cache(write_settled: Callable, tmp_path: Path) -> None:
    files = [write_settled(f"f{i}", str(i)) for i in range(40)]
    code = (
        "import sys; from pathlib import Path; from harness.resources import hash_cache\n"
        "hash_cache.SETTLED_SECONDS = -3600.0\n"
        "print(hash_cache.recall([*map(Path, sys.argv[1:])], 'text', Path.read_text))"
    )
    command = [sys.executable, "-c", code, *map(str, files)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    expected = str([str(i) for i in range(40)]) + "\n"
    assert [process.communicate()[0] for process in processes] == [expected] * 4
    with sqlite3.connect(cache_folder() / "files.sqlite") as memory:
        assert memory.execute("SELECT count(*) FROM known").fetchone() == (40,)
    memory.close()
