"""Full, read-only and removed disks: a message, exit code 2, and no incomplete files."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import Result

from harness import filesystem
from harness.errors import StoreError
from harness.execution.executors import ipc
from harness.store import Store
from tests.helpers.command_line import command
from tests.helpers.full_disk import fill, incomplete_files, limit_file_size
from tests.helpers.report_page import cell, record, store_of
from tests.helpers.small_suite import small_suite
from tests.helpers.web_server import Web

SUITE = small_suite(
    "small", "{identity: }", "seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]", "metrics: [ssim]"
)
RECORDS = [record(cell("gatys[adam]")), record(cell("gatys[lbfgs]"))]


def assert_disk_error(done: Result, *words: str) -> None:
    """Check that the exit code is 2 and that one line has the folder, the reason and the remedy."""
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in (*words, "then run the same command again to continue")), (
        line
    )


def running_in_session(leader: int) -> list[str]:
    """Return the running processes of a session; zombies do not count."""
    running = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # the process has ended meanwhile
            continue
        if int(session) == leader and state != "Z":
            running.append(path.parent.name)
    return running


def test_a_full_disk_ends_the_run_with_a_message_and_a_later_run_continues_it(
    small_disk: Path, tmp_path: Path
) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    options = (path, "--out", small_disk, "--offline")
    ballast = fill(small_disk, leave=80_000)  # enough for the inputs and some of the cells
    process = subprocess.Popen(
        [sys.executable, "-m", "nstbench", "run", *map(str, options), "--no-mlflow"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 2, stdout + stderr
    (line,) = stderr.splitlines()
    assert f"{small_disk / 'small'} cannot be written: its disk is full" in line
    assert "MB are free. Finished results are kept. Free space there" in line
    assert "--out" in line
    deadline = time.monotonic() + 60  # multiprocessing's resource tracker ends slightly later
    while running_in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running_in_session(process.pid) == []
    assert incomplete_files(small_disk) == []
    store = Store(small_disk, "small")
    stored = store.all_records()
    assert 0 < len(stored) < 12
    assert len(stored) == len(list((store.root / "cells").iterdir()))
    assert all(store.image(one.cell.id) for one in stored)
    ballast.unlink()
    store.begin()
    assert f"{12 - len(stored)} to run, {len(stored)} reused" in command("plan", *options).stdout


def test_report_and_sync_on_a_full_disk_leave_the_store_unchanged(
    small_disk: Path,
) -> None:
    store = store_of(small_disk, RECORDS)
    fill(small_disk)
    page = store.root / "report.html"
    before = sorted(store.root.rglob("*"))
    assert_disk_error(command("report", "artists", "--out", small_disk), "disk is full", "--out")
    assert_disk_error(command("report", "artists", "--folder", "--out", small_disk), "disk is full")
    done = command("sync", "artists", "--out", small_disk)
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    assert "database or disk is full" in done.stderr
    assert sorted(store.root.rglob("*")) == before
    assert not page.exists()


def test_a_read_only_disk_is_reported_before_anything_runs(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_of(small_disk, RECORDS)
    monkeypatch.setenv("NSTBENCH_CACHE", str(small_disk))
    (small_disk / "files.sqlite").write_bytes(b"not a database" * 99)
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for arguments in (
        ("run", path, "--offline"),
        ("rescore", path, "--offline"),
        ("report", "artists"),
    ):
        done = command(*arguments, "--out", small_disk)
        assert_disk_error(done, str(small_disk), "its disk is read-only", "--out")
        assert "done" not in done.stdout
    assert command("plan", path, "--offline", "--out", small_disk).exit_code == 0


def test_a_download_that_does_not_fit_is_rejected_before_it_starts(
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
    assert_disk_error(command("fetch", path), f"{small_disk / 'images'} cannot", "NSTBENCH_CACHE")
    assert incomplete_files(small_disk) == []


def test_a_full_disk_is_reported_when_a_worker_writes_outcomes(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StoreError, match=r"disk cannot be written: its disk is full.* TMPDIR"):
        ipc.write(bytes(9999), small_disk / "outcomes")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_to_a_full_disk_is_an_error_without_a_traceback() -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "nstbench", "list", "methods"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("The output, or a temporary file: No space left on device. ")


def test_an_image_that_does_not_fit_leaves_the_earlier_record_intact(tmp_path: Path) -> None:
    store, one = Store(tmp_path, "artists"), RECORDS[0]
    store.write(one, b"old", [])
    with pytest.raises(StoreError) as caught, limit_file_size(8192):  # a record is smaller
        store.write(replace(one, notes=("new",)), bytes(9999), [])
    assert f"{store.root} cannot be written: the file exceeds the size limit" in str(caught.value)
    stored = store.read(one.cell.id)
    assert stored is not None
    assert stored.notes == ()
    assert (store.root / "cells" / one.cell.id / "image.png").read_bytes() == b"old"
    assert incomplete_files(tmp_path) == []


def test_a_file_size_limit_is_reported_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    with limit_file_size(2048):
        done = command("run", path, "--offline", "--out", tmp_path / "out")
    assert_disk_error(done, "small cannot be written: the file exceeds the size limit", "ulimit -f")
    folder = tmp_path / "out" / "small"
    assert sorted((tmp_path / "out").rglob("*")) == [folder, folder / ".lock"]


@pytest.fixture
def forbidden(tmp_path: Path) -> Iterator[Path]:
    """A folder without write permission, also for root."""
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
        pytest.skip("This user may write everywhere, and the file system has no immutable folders.")
    yield folder
    subprocess.run(["chattr", "-i", folder], check=True)


def test_a_folder_without_write_permission_is_reported(forbidden: Path) -> None:
    with pytest.raises(StoreError, match=r"permission denied\. .* permissions"):
        Store(forbidden, "artists").begin()
    assert list(forbidden.iterdir()) == []


def test_a_removed_folder_is_not_created_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "out", "artists")
    store.begin()
    store.write(RECORDS[0], None, [])
    store.root.rename(tmp_path / "unmounted")
    for mount_point in (False, True):
        if mount_point:
            store.root.mkdir()
        with pytest.raises(StoreError, match="it was removed, moved or unmounted during the run"):
            store.write(RECORDS[1], None, [])
        assert list(store.root.parent.rglob("*")) == [store.root] * mount_point
    store.root.rmdir()
    (tmp_path / "unmounted").rename(store.root)
    store.write(RECORDS[1], None, [])
    assert len(store.all_records()) == 2


def test_incomplete_files_of_a_killed_process_are_deleted_and_those_of_others_are_not(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path, "artists")
    code = (
        "import os, sys; from pathlib import Path; from harness.store.store import Store; "
        "Store(Path(sys.argv[1]), 'artists').write_report_folder(lambda f: os.kill(os.getpid(), 9))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (incomplete,) = incomplete_files(store.root)
    of_this_process = filesystem.part_of(store.root / "cells" / "x").name
    of_parent_process = of_this_process.replace(str(os.getpid()), str(os.getppid()), 1)
    killed_pid = incomplete.name.removeprefix(filesystem.PART).partition("@")[0]
    of_another_machine = f"{filesystem.PART}{killed_pid}@another-machine@x"
    (store.root / "cells").mkdir()
    others = {of_this_process, of_parent_process, of_another_machine}
    for name in others:
        (store.root / "cells" / name).mkdir()
    store.begin()
    assert {path.name for path in incomplete_files(store.root)} == others


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EDQUOT, "your disk quota is used up"),
        (errno.EIO, "its disk reports an error"),
        (errno.ESTALE, "it was removed, moved or unmounted during the run"),
        (errno.ELOOP, os.strerror(errno.ELOOP)),
    ],
)
def test_every_disk_error_is_reported_with_a_remedy(code: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path} cannot be written: {reason}"):  # noqa: SIM117
        with filesystem.writing(tmp_path, "go elsewhere"):
            raise OSError(code, os.strerror(code), str(tmp_path / "x"))


def test_errors_in_other_folders_are_not_converted(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), filesystem.writing(tmp_path / "out", "go elsewhere"):
        (tmp_path / "template.html").read_bytes()
    assert filesystem.describe_os_error(FileNotFoundError(errno.ENOENT, "no such file", "x")) == ""
