"""Disks that are full, read-only or gone: a message, exit code 2, nothing half-written, and on."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from harness import filesystem
from harness.cli.main import main
from harness.errors import StoreError
from harness.execution.executors import ipc
from harness.store import Store
from tests.helpers.report_page import cell, record, store_of
from tests.helpers.web_server import Web

SUITE = """\
version: 1
name: small
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
methods: {identity: }
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
metrics: [ssim]
"""
PAGE = b"p" * 4096
RECORDS = [record(cell("gatys[adam]")), record(cell("gatys[lbfgs]"))]


def fill(folder: Path, leave: int = 0) -> Path:
    """Take up the room on a disk but for `leave` bytes; return what takes it."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(folder).free - leave))
    return ballast


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def assert_refused(done: Result, *words: str) -> None:
    """It ended with 2 and one line that says where, why and what to do."""
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in (*words, "then the same command goes on")), line


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(filesystem.PART)]


def alive_in_session(leader: int) -> list[str]:
    """The processes of a session that are neither gone nor waiting to be."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(session) == leader and state != "Z":
            found.append(path.parent.name)
    return found


def test_a_disk_that_fills_up_ends_the_run_with_a_message_and_the_same_command_goes_on(
    small_disk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    options = (path, "--out", small_disk, "--offline")
    ballast = fill(small_disk, leave=80_000)  # for the inputs and some of twelve cells
    process = subprocess.Popen(
        [sys.executable, "-m", "nstbench", "run", *map(str, options), "--no-mlflow"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 2, stdout + stderr
    (line,) = stderr.splitlines()
    assert f"{small_disk / 'small'} cannot be written: there is too little room" in line
    assert "MB are free. What was finished is kept. Make room there" in line
    assert "--out" in line
    deadline = time.monotonic() + 60  # Python's own tracker sees only from our end that it may go
    while alive_in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive_in_session(process.pid) == []
    assert half_written(small_disk) == []
    store = Store(small_disk, "small")
    kept = store.all_records()
    assert 0 < len(kept) < 12
    assert len(kept) == len(list((store.root / "cells").iterdir()))
    assert all(store.image(one.cell.id) for one in kept)
    ballast.unlink()
    store.begin()
    assert f"{12 - len(kept)} to run, {len(kept)} reused" in command("plan", *options).stdout


def test_what_cannot_be_rendered_or_mirrored_for_want_of_room_leaves_all_as_it_was(
    small_disk: Path,
) -> None:
    store = store_of(small_disk, RECORDS)
    fill(small_disk)
    page = store.root / "report.html"
    before = sorted(store.root.rglob("*"))
    assert_refused(command("report", "artists", "--out", small_disk), "too little room", "--out")
    assert_refused(command("report", "artists", "--folder", "--out", small_disk), "too little room")
    done = command("sync", "artists", "--out", small_disk)
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    assert "database or disk is full" in done.stderr
    assert sorted(store.root.rglob("*")) == before
    assert not page.exists()


def test_a_disk_that_can_only_be_read_is_told_before_anything_runs(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(small_disk, RECORDS)
    monkeypatch.setenv("NSTBENCH_CACHE", str(small_disk))
    (small_disk / "files.sqlite").write_bytes(b"broken, and not to be mended" * 99)
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for arguments in (
        ("run", path, "--offline"),
        ("rescore", path, "--offline"),
        ("report", "artists"),
    ):
        done = command(*arguments, "--out", small_disk)
        assert_refused(done, str(small_disk), "its disk can only be read", "--out")
        assert "done" not in done.stdout
    assert command("plan", path, "--offline", "--out", small_disk).exit_code == 0


def test_no_room_for_a_download_is_told_before_it_begins(
    small_disk: Path, tmp_path: Path, web_server: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NSTBENCH_OFFLINE")
    monkeypatch.setenv("NSTBENCH_CACHE", str(small_disk))
    image = Random(0).randbytes(500_000)
    web_server.files["wave.jpg"] = image
    sha256 = hashlib.sha256(image).hexdigest()
    wave = f"{{url: '{web_server.url}/wave.jpg', sha256: {sha256}, stand_in: great-wave}}"
    path = tmp_path / "small.yaml"
    path.write_text(SUITE.replace("{builtin: grass}", wave), encoding="utf-8")
    fill(small_disk, leave=100_000)
    assert_refused(command("fetch", path), f"{small_disk / 'images'} cannot", "NSTBENCH_CACHE")
    assert half_written(small_disk) == []


def test_results_in_transit_that_find_no_room_are_told(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StoreError, match=r"disk cannot be written: .* too little room .* TMPDIR"):
        ipc.write(bytes(9999), small_disk / "outcomes")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_output_that_goes_to_a_full_disk_is_no_traceback() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "nstbench", "list", "methods"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("The output, or a temporary file: No space left on device. ")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process write no larger file: a full disk that every machine has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_image_that_finds_no_room_leaves_the_earlier_record_whole(tmp_path: Path) -> None:
    store, one = Store(tmp_path, "artists"), RECORDS[0]
    store.write(one, b"old", [])
    with pytest.raises(StoreError) as caught, files_up_to(8192):  # a record has less
        store.write(replace(one, notes=("new",)), bytes(9999), [])
    assert f"{store.root} cannot be written: no file may become so large" in str(caught.value)
    found = store.read(one.cell.id)
    assert found is not None
    assert found.notes == ()
    assert (store.root / "cells" / one.cell.id / "image.png").read_bytes() == b"old"
    assert half_written(tmp_path) == []


def test_a_limit_on_the_size_of_files_is_told_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    with files_up_to(2048):
        done = command("run", path, "--offline", "--out", tmp_path / "out")
    assert_refused(done, "small cannot be written: no file may become so large", "ulimit -f")
    folder = tmp_path / "out" / "small"
    assert sorted((tmp_path / "out").rglob("*")) == [folder, folder / ".lock"]


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A folder that we may not write, root or not."""
    folder = tmp_path / "forbidden"
    folder.mkdir()
    if os.geteuid():
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    if (
        not shutil.which("chattr")
        or subprocess.run(["chattr", "+i", folder], check=False).returncode
    ):
        pytest.skip("Root may write everywhere, and this file system has no immutable folders.")
    yield folder
    subprocess.run(["chattr", "-i", folder], check=True)


def test_a_folder_that_one_may_not_write_is_told(forbidden: Path) -> None:
    with pytest.raises(StoreError, match=r"you may not write there\. .* permissions"):
        Store(forbidden, "artists").begin()
    assert list(forbidden.iterdir()) == []


def test_nothing_is_made_anew_where_the_folder_vanished_meanwhile(tmp_path: Path) -> None:
    store = Store(tmp_path / "out", "artists")
    store.begin()
    store.write(RECORDS[0], None, [])
    store.root.rename(tmp_path / "unmounted")
    for there in (False, True):  # nothing; a folder of that name, such as an empty mount point
        if there:
            store.root.mkdir()
        with pytest.raises(StoreError, match="it was removed, moved or unmounted meanwhile"):
            store.write(RECORDS[1], None, [])
        assert list(store.root.parent.rglob("*")) == [store.root] * there
    store.root.rmdir()
    (tmp_path / "unmounted").rename(store.root)
    store.write(RECORDS[1], None, [])
    assert len(store.all_records()) == 2


def test_what_a_killed_process_was_writing_is_swept_and_what_others_write_is_not(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path, "artists")
    dying = (
        "import os, sys; from pathlib import Path; from harness.store.store import Store; "
        "Store(Path(sys.argv[1]), 'artists').write_report_folder(lambda f: os.kill(os.getpid(), 9))"
    )
    subprocess.run([sys.executable, "-c", dying, str(tmp_path)], check=False)
    (left,) = half_written(store.root)
    name = filesystem.part_of(store.root / "cells" / "x").name
    other = name.replace(str(os.getpid()), str(os.getppid()), 1)
    gone = left.name.removeprefix(filesystem.PART).partition("@")[0]
    elsewhere = f"{filesystem.PART}{gone}@another-machine@x"
    (store.root / "cells").mkdir()
    for written in (name, other, elsewhere):  # by us, by a live process, on another machine
        (store.root / "cells" / written).mkdir()
    store.begin()
    assert {path.name for path in half_written(store.root)} == {name, other, elsewhere}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EDQUOT, "your quota on its disk is used up"),
        (errno.EIO, "its disk has a fault"),
        (errno.ESTALE, "it was removed, moved or unmounted meanwhile"),
        (errno.ELOOP, os.strerror(errno.ELOOP)),
    ],
)
def test_whatever_the_disk_says_is_told_with_what_to_do(
    code: int, said: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path} cannot be written: {said}"):  # noqa: SIM117
        with filesystem.writing(tmp_path, "go elsewhere"):
            raise OSError(code, os.strerror(code), str(tmp_path / "x"))


def test_what_fails_elsewhere_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), filesystem.writing(tmp_path / "out", "go elsewhere"):
        (tmp_path / "template.html").read_bytes()
    assert filesystem.describe_os_error(FileNotFoundError(errno.ENOENT, "no such file", "x")) == ""
