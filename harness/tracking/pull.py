"""MLflow -> store: what anyone mirrored is taken back, as far as it is not here; only reads there.

Nothing that comes is trusted: see `vetting`. A file is named by what is known here of its cell,
never by what it is called there.
"""

from __future__ import annotations

import os
import re
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from PIL import Image as Pillow

from harness.errors import NstbenchError, RecordError, TrackingError, UsageError, listed, nearest
from harness.records import ImageUse, Record, Run, TracePoint
from harness.store import Store
from harness.tracking import progress_bar, untrusted
from harness.tracking.artifacts import Files
from harness.tracking.client import connect, reported
from harness.tracking.existing_runs import ExistingRun, complete
from harness.tracking.tracker import INPUTS, REPORT, SNAPSHOTS

WORKERS, AHEAD = 8, 32
"""Cells that are downloaded at a time, and that may wait to be written."""

MAX_FAULTS = 5
"""Runs that the server cannot give; with more it is the server that is at fault."""

MAX_BYTES = 64_000_000
"""Of a record, a run, a curve, and all images on the way; others by their pixels."""

NO_RUN = (
    "the run: an earlier nstbench mirrored it; `nstbench sync` where its results are completes it"
)
IMAGE = re.compile(r"images/stylized\+step\+(\d{1,9})\+[^/]*\.png")
T = TypeVar("T")
U = TypeVar("U")


@dataclass
class Pulled:
    """What came of it."""

    cells: int = 0  # that came
    there: int = 0  # that were there before, and stay as they are
    runs: int = 0
    bare: int = 0  # of the cells, without their images on the way
    trained: bool = False  # some of the methods train, and their nets are not on the server
    left_out: list[RecordError] = field(default_factory=list)  # what could not be taken, and why
    faults: int = 0  # of the server, among these

    def lines(self, suite: str) -> Iterator[str]:
        """Say what came, what was there, what new contents cost, what was left out and why."""
        yield (
            f"{suite}: cells: {self.cells} came, {self.there} were here already; "
            f"runs: {self.runs} came"
        )
        if self.bare:
            yield (
                f"{self.bare} came without their images on the way, since an earlier nstbench "
                "mirrored them: `nstbench sync` where they are completes it, for a new folder."
            )
        if self.trained:
            yield "Fitted nets are not on the server: new contents of a trained style train anew."
        yield from (f"! left out: {error}" for error in self.left_out)


@dataclass(frozen=True)
class Parcel:
    """A cell as it came, with nothing in it that was not looked at."""

    record: Record
    png: bytes | None
    trace: list[TracePoint]
    snapshots: Mapping[int, bytes]
    bare: bool  # there were images on the way, and they were not sent for us


class Remote:
    """A suite on an MLflow server, or in a file."""

    def __init__(self, suite: str, uri: str) -> None:
        """Find its complete runs.

        Raises:
            TrackingError: The server cannot be reached, or the file is not there.
            UsageError: It has no such experiment, or one of somebody else's.
        """
        self.suite, self.uri = suite, uri
        _ensure_file(uri)
        with reported(uri):
            self._client = connect(uri)
            self.cells = self._runs(suite)
            summary = self._runs(f"{suite}-summary").items()
            self.pages = {key: run for key, run in summary if key.startswith(REPORT)}
            if not (self.cells or self.pages):
                raise UsageError(self._unknown())

    def ensure_alive(self) -> None:
        """Raise TrackingError if it does not answer any more."""
        with reported(self.uri):
            connect(self.uri)

    def files(self, run: ExistingRun, *folders: str) -> Files:
        """Return the files of a run.

        Raises:
            RecordError: They are not those that were sent.
        """
        with _answering(self.uri):
            files = Files(run.artifacts, self.uri, folders)
        if run.contents and run.contents != files.contents():
            raise RecordError("its files are not those that were sent")
        return files

    def read(self, files: Files, path: str, most: int = MAX_BYTES) -> bytes:
        """Return what a file holds, if it is not too large."""
        with _answering(self.uri):
            return files.read(path, most)

    def _runs(self, name: str) -> dict[str, ExistingRun]:
        found = self._client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage == "deleted":
            return {}
        runs = complete(self._client, found.experiment_id)
        return {key: run for key, run in runs.items() if run.tags.get("nst.suite") == self.suite}

    def _unknown(self) -> str:
        names = {experiment.name for experiment in self._client.search_experiments()}
        ours = sorted(name for name in names if f"{name}-summary" in names)
        if not ours:
            return f"{self.uri} has no results of nstbench: `nstbench sync SUITE` sends them there."
        what = "no results of nstbench in" if self.suite in names else "no experiment"
        return (
            f"{self.uri} has {what} {self.suite!r}; it has {listed(ours)}."
            f"{nearest(self.suite, ours)}"
        )


def tracking_uri(out: Path, given: str) -> str:
    """Return where to pull from.

    Raises:
        UsageError: Nobody said where.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise UsageError(
            f"Where from? Give --tracking-uri, or set MLFLOW_TRACKING_URI. {out / 'mlflow.db'}, "
            "where runs are tracked without either, mirrors this very folder: it has nothing new."
        )
    return uri


def pull(remote: Remote, store: Store) -> Pulled:
    """Take what is not here yet: cells, then runs with their contents and styles.

    Finished records stay as they are. What is broken is left out, the rest is taken.

    Raises:
        TrackingError: The server stopped answering; what came until then is kept.
        StoreError: The folder cannot be written.
    """
    pulled = Pulled()
    store.begin()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # sizes are looked at
        _pull_cells(remote, store, pulled)
        if not remote.pages:
            pulled.left_out.append(RecordError(NO_RUN))
        for key, run in remote.pages.items():
            with _left_out(remote, key, pulled):
                pulled.runs += _pull_run(remote, store, run, pulled)
    return pulled


def _pull_cells(remote: Remote, store: Store, pulled: Pulled) -> None:
    wanted = {key: run for key, run in remote.cells.items() if _is_wanted(store, key, run)}
    pulled.there = len(remote.cells) - len(wanted)
    parcels = _ahead(lambda item: _parcel(remote, *item), wanted.items())
    for (key, _), parcel in progress_bar.shown("pulling cells", parcels, len(wanted)):
        with _left_out(remote, key, pulled):
            came = parcel.result()
            store.write(came.record, came.png, came.trace, came.snapshots)
            pulled.cells += 1
            pulled.bare += came.bare
            pulled.trained |= came.record.cell.training is not None


def _is_wanted(store: Store, key: str, run: ExistingRun) -> bool:
    """Tell whether a cell is not here, or has no result here and has one there."""
    own = store.read(key) if untrusted.CELL_ID.fullmatch(key) else None
    return own is None or (not own.ok and run.tags.get("nst.status") == "done")


def _parcel(remote: Remote, key: str, run: ExistingRun) -> Parcel:
    files = remote.files(run, "images")
    record = untrusted.record(remote.read(files, "record.json"), key)
    curve = "trace.csv" in files.sizes
    trace = untrusted.trace(remote.read(files, "trace.csv")) if curve else []
    on_the_way = SNAPSHOTS in files.sizes
    snapshots = untrusted.snapshots(remote.read(files, SNAPSHOTS)) if on_the_way else {}
    bare = not on_the_way and len(_shown(files)) > 1
    return Parcel(record, _image(remote, files, record), trace, snapshots, bare)


def _image(remote: Remote, files: Files, record: Record) -> bytes | None:
    """Return the stylized image: of those that a cell's grid shows the last."""
    if not record.image_sha256:
        return None
    found = _shown(files)
    if not found:
        raise RecordError("its image is missing")
    png = remote.read(files, found[max(found)], _most_bytes(record.width, record.height))
    if not untrusted.is_image_of(record, png):
        raise RecordError("its image is not the one that its record is about")
    return png


def _shown(files: Files) -> dict[int, str]:
    """Return the images of a cell's grid by their steps."""
    found = (match for match in map(IMAGE.fullmatch, files.sizes) if match)
    return {int(match[1]): match[0] for match in found}


def _pull_run(remote: Remote, store: Store, page: ExistingRun, pulled: Pulled) -> bool:
    """Take a run and its images if they are not here; tell whether it was new."""
    files = remote.files(page, INPUTS)
    run = untrusted.run(remote.read(files, "run.json"), store.suite)
    for path, (use, size) in _inputs(store, run).items():
        name = f"{INPUTS}/{path.name}"
        if not path.exists() and name in files.sizes:
            with _left_out(remote, name, pulled):
                png = remote.read(files, name, _most_bytes(size, size))
                store.write_input(use, size, untrusted.resized_input(png, size))
    if run.started in store.start_times():
        return False
    suite = remote.read(files, "suite.yaml") if "suite.yaml" in files.sizes else b""
    store.add_run(run, untrusted.text(suite, "suite.yaml"))
    return True


def _inputs(store: Store, run: Run) -> dict[Path, tuple[ImageUse, int]]:
    """Return the contents and styles of a run and their sizes, by where they go."""
    cells = [record.cell for record in store.records(run)]
    return {store.input_path(i, c.size): (i, c.size) for c in cells for i in (c.content, c.style)}


def _most_bytes(width: int, height: int) -> int:
    """Return what a PNG of a size may have: a little more than its pixels."""
    return min(4 * width * height, 2**30) + 2**16


def _ahead(work: Callable[[T], U], items: Iterable[T]) -> Iterator[tuple[T, Future[U]]]:
    """Work on several items at a time, and not too far ahead: what waits is in memory."""
    with ThreadPoolExecutor(WORKERS) as pool:
        waiting: deque[tuple[T, Future[U]]] = deque()
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) == AHEAD:
                    yield waiting.popleft()
            yield from waiting
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _left_out(remote: Remote, name: str, pulled: Pulled) -> Iterator[None]:
    """Note what cannot be taken, and why; but not that the server is gone."""
    try:
        yield
    except RecordError as error:
        pulled.left_out.append(RecordError(f"{name}: {error}"))
    except TrackingError as error:
        pulled.left_out.append(RecordError(f"{name}: {error}"))
        pulled.faults += 1
        if pulled.faults > MAX_FAULTS:
            raise
        remote.ensure_alive()


@contextmanager
def _answering(uri: str) -> Iterator[None]:
    """Turn whatever the keeper of files raises into one error: each kind of store has its own."""
    try:
        with reported(uri):
            yield
    except NstbenchError:
        raise
    except Exception as error:
        raise TrackingError(f"MLflow at {uri}: {type(error).__name__}: {error}") from error


def _ensure_file(uri: str) -> None:
    """See that a file is there: MLflow would make a new one."""
    scheme = "sqlite:///"
    if uri.startswith(scheme) and not Path(uri.removeprefix(scheme)).exists():
        raise TrackingError(f"There is no file {uri.removeprefix(scheme)}.")
