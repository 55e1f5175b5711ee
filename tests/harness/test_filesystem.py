"""Full, read-only or removed disks: a message, exit code 2, and no incomplete files."""

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
    """Fill a disk except for `leave` bytes; return the file that fills it."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(folder).free - leave))
    return ballast


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def assert_refused(done: Result, *words: str) -> None:
    """Check for exit code 2 and one line with the folder, the reason and the remedy."""
    assert (done.exit_code, type(done.exception)) == (2, SystemExit), done.output
    (line,) = done.stderr.splitlines()
    assert all(word in line for word in (*words, "then run the same command again to continue")), (
        line
    )


def half_written(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(filesystem.PART)]


def alive_in_session(leader: int) -> list[str]:
    """Return the running processes of a session; zombies do not count."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # the process has just ended
            continue
        if int(session) == leader and state != "Z":
            found.append(path.parent.name)
    return found


def test_a_full_disk_ends_the_run_with_a_message_and_the_same_command_continues_it(
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
    deadline = time.monotonic() + 60  # multiprocessing's resource tracker ends a little later
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


def test_report_and_sync_on_a_full_disk_leave_the_store_unchanged(
    small_disk: Path,
) -> None:
    store = store_of(small_disk, RECORDS)
    fill(small_disk)
    page = store.root / "report.html"
    before = sorted(store.root.rglob("*"))
    assert_refused(command("report", "artists", "--out", small_disk), "disk is full", "--out")
    assert_refused(command("report", "artists", "--folder", "--out", small_disk), "disk is full")
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
    (small_disk / "files.sqlite").write_bytes(b"broken beyond repair" * 99)
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for arguments in (
        ("run", path, "--offline"),
        ("rescore", path, "--offline"),
        ("report", "artists"),
    ):
        done = command(*arguments, "--out", small_disk)
        assert_refused(done, str(small_disk), "its disk is read-only", "--out")
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
    assert_refused(command("fetch", path), f"{small_disk / 'images'} cannot", "NSTBENCH_CACHE")
    assert half_written(small_disk) == []


def test_results_in_transit_report_a_full_disk(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(StoreError, match=r"disk cannot be written: its disk is full.* TMPDIR"):
        ipc.write(bytes(9999), small_disk / "outcomes")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_to_a_full_disk_ends_without_a_traceback() -> None:
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
    """Limit the size of files that this process writes, to simulate a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_image_that_does_not_fit_leaves_the_earlier_record_intact(tmp_path: Path) -> None:
    store, one = Store(tmp_path, "artists"), RECORDS[0]
    store.write(one, b"old", [])
    with pytest.raises(StoreError) as caught, files_up_to(8192):  # a record has less
        store.write(replace(one, notes=("new",)), bytes(9999), [])
    assert f"{store.root} cannot be written: the file exceeds the size limit" in str(caught.value)
    found = store.read(one.cell.id)
    assert found is not None
    assert found.notes == ()
    assert (store.root / "cells" / one.cell.id / "image.png").read_bytes() == b"old"
    assert half_written(tmp_path) == []


def test_a_file_size_limit_is_reported_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SUITE, encoding="utf-8")
    with files_up_to(2048):
        done = command("run", path, "--offline", "--out", tmp_path / "out")
    assert_refused(done, "small cannot be written: the file exceeds the size limit", "ulimit -f")
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
    for there in (False, True):  # without and with an empty mount point
        if there:
            store.root.mkdir()
        with pytest.raises(StoreError, match="it was removed, moved or unmounted during the run"):
            store.write(RECORDS[1], None, [])
        assert list(store.root.parent.rglob("*")) == [store.root] * there
    store.root.rmdir()
    (tmp_path / "unmounted").rename(store.root)
    store.write(RECORDS[1], None, [])
    assert len(store.all_records()) == 2


def test_leftovers_of_a_killed_process_are_deleted_and_files_of_others_are_not(
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
    for written in (
        name,
        other,
        elsewhere,
    ):  # of this process, of a running one, of another machine
        (store.root / "cells" / written).mkdir()
    store.begin()
    assert {path.name for path in half_written(store.root)} == {name, other, elsewhere}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EDQUOT, "your disk quota is used up"),
        (errno.EIO, "its disk reports an error"),
        (errno.ESTALE, "it was removed, moved or unmounted during the run"),
        (errno.ELOOP, os.strerror(errno.ELOOP)),
    ],
)
def test_every_disk_error_is_reported_with_a_remedy(code: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=f"{tmp_path} cannot be written: {said}"):  # noqa: SIM117
        with filesystem.writing(tmp_path, "go elsewhere"):
            raise OSError(code, os.strerror(code), str(tmp_path / "x"))


def test_errors_in_other_folders_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), filesystem.writing(tmp_path / "out", "go elsewhere"):
        (tmp_path / "template.html").read_bytes()
    assert filesystem.describe_os_error(FileNotFoundError(errno.ENOENT, "no such file", "x")) == ""
