"""Copy results from MLflow into a store, as far as it lacks them; MLflow is only read.

All data is validated by `untrusted`, and no path is made from a name that MLflow sent.
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
from harness.resources.progress_bar import with_progress
from harness.store import Store, redact
from harness.tracking import address, untrusted
from harness.tracking.artifacts import Files
from harness.tracking.client import connect, reported
from harness.tracking.existing_runs import ExistingRun, complete_runs
from harness.tracking.run_contents import INPUTS, REPORT, SNAPSHOTS

WORKERS, AHEAD = 8, 32
"""Cells that are downloaded at once, and cells in memory that wait to be written."""

MAX_SERVER_ERRORS = 5
"""Runs that the server may fail to send; more than these end the pull."""

MAX_BYTES = 64_000_000
"""Limit for a record, a run, a curve, and all snapshots; other images have limits by size."""

NO_RUN = (
    "the run: an earlier version of nstbench sent it; run `nstbench sync` where the results are "
    "stored to complete it"
)
IMAGE = re.compile(r"images/stylized\+step\+(\d{1,9})\+[^/]*\.png")
T = TypeVar("T")
U = TypeVar("U")


@dataclass
class PullSummary:
    """The outcome of a pull."""

    cells: int = 0  # that were copied
    existing: int = 0  # that the store had; they are unchanged
    runs: int = 0
    without_snapshots: int = 0  # copied cells with no snapshots in MLflow
    trained: bool = False  # a copied cell is of a method that trains
    left_out: list[RecordError] = field(default_factory=list)  # with the reasons
    server_errors: int = 0  # among these

    def lines(self, suite: str) -> Iterator[str]:
        """Yield the lines to print."""
        yield (
            f"{suite}: cells: {self.cells} copied, {self.existing} already present; "
            f"runs: {self.runs} copied"
        )
        if self.without_snapshots:
            yield (
                f"{self.without_snapshots} cells lack their intermediate images, since an earlier "
                "version of nstbench sent them. Run `nstbench sync` where they are stored, then "
                "pull into a new folder."
            )
        if self.trained:
            yield "MLflow has no trained networks: new contents of a trained style train again."
        yield from (f"! left out: {error}" for error in self.left_out)


@dataclass(frozen=True)
class DownloadedCell:
    """A cell from MLflow, validated."""

    record: Record
    png: bytes | None
    trace: list[TracePoint]
    snapshots: Mapping[int, bytes]
    lacks_snapshots: bool  # it had intermediate images, and MLflow does not have them all


class Remote:
    """A suite in MLflow, on a server or in a database file."""

    def __init__(self, suite: str, uri: str) -> None:
        """Find the complete runs of the suite.

        Raises:
            TrackingError: The server cannot be reached, or the file does not exist.
            UsageError: There is no such experiment, or nstbench did not create it.
        """
        self.suite, self.uri = suite, uri
        _ensure_file(uri)
        with reported(uri):
            self._client = connect(uri)
            self.cells = self._runs(suite)
            summary = self._runs(f"{suite}-summary").items()
            self.pages = {key: run for key, run in summary if key.startswith(REPORT)}
            if not (self.cells or self.pages):
                raise UsageError(self._describe_missing())

    def ensure_alive(self) -> None:
        """Raise TrackingError if the server does not respond."""
        with reported(self.uri):
            connect(self.uri)

    def files(self, run: ExistingRun, *folders: str) -> Files:
        """Return the files of a run.

        Raises:
            RecordError: They differ from those that were sent.
        """
        with _reported(self.uri):
            files = Files(run.artifacts, self.uri, folders)
        if run.contents and run.contents != files.contents_digest():
            raise RecordError("its files differ from those that were sent")
        return files

    def read(self, files: Files, path: str, max_bytes: int = MAX_BYTES) -> bytes:
        """Return the bytes of a file. Raise RecordError if it is larger than `max_bytes`."""
        with _reported(self.uri):
            return files.read(path, max_bytes)

    def _runs(self, name: str) -> dict[str, ExistingRun]:
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            return {}
        runs = complete_runs(self._client, experiment.experiment_id)
        return {key: run for key, run in runs.items() if run.tags.get("nst.suite") == self.suite}

    def _describe_missing(self) -> str:
        shown = redact(self.uri)
        names = {experiment.name for experiment in self._client.search_experiments()}
        ours = sorted(name for name in names if f"{name}-summary" in names)
        if not ours:
            return f"{shown} has no results of nstbench. `nstbench sync SUITE` sends them there."
        what = "no results of nstbench in" if self.suite in names else "no experiment"
        return (
            f"{shown} has {what} {self.suite!r}; it has {listed(ours)}.{nearest(self.suite, ours)}"
        )


def tracking_uri(out: Path, given: str) -> str:
    """Return `given`, else MLFLOW_TRACKING_URI.

    Raises:
        UsageError: Neither is set, or the database has no driver here.
    """
    if not (given or os.environ.get("MLFLOW_TRACKING_URI", "")):
        raise UsageError(
            "No MLflow to pull from. Pass --tracking-uri, or set MLFLOW_TRACKING_URI. The default "
            f"of `run`, {out / 'mlflow.db'}, only has results of this folder."
        )
    return address.resolve(out, given)


def pull(remote: Remote, store: Store) -> PullSummary:
    """Copy cells that the store lacks, then runs with their content and style images.

    Finished cells in the store stay unchanged. Invalid data is left out and reported.

    Raises:
        TrackingError: The server stopped responding; the store keeps what was copied.
        StoreError: The folder cannot be written.
    """
    summary = PullSummary()
    store.begin()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # `untrusted` checks sizes
        _pull_cells(remote, store, summary)
        if not remote.pages:
            summary.left_out.append(RecordError(NO_RUN))
        for key, run in remote.pages.items():
            with _collect_errors(remote, key, summary):
                summary.runs += _pull_run(remote, store, run, summary)
    return summary


def _pull_cells(remote: Remote, store: Store, summary: PullSummary) -> None:
    missing = {key: run for key, run in remote.cells.items() if _is_missing(store, key, run)}
    summary.existing = len(remote.cells) - len(missing)
    downloads = _ahead(lambda item: _download_cell(remote, *item), missing.items())
    for (key, _), download in with_progress("pulling cells", downloads, len(missing)):
        with _collect_errors(remote, key, summary):
            cell = download.result()
            store.write(cell.record, cell.png, cell.trace, cell.snapshots)
            summary.cells += 1
            summary.without_snapshots += cell.lacks_snapshots
            summary.trained |= cell.record.cell.training is not None


def _is_missing(store: Store, key: str, run: ExistingRun) -> bool:
    """Return whether the store lacks a cell, or has a failed one and MLflow a finished one."""
    own = store.read(key) if untrusted.CELL_ID.fullmatch(key) else None
    return own is None or (not own.ok and run.tags.get("nst.status") == "done")


def _download_cell(remote: Remote, key: str, run: ExistingRun) -> DownloadedCell:
    files = remote.files(run, "images")
    record = untrusted.parse_cell_record(remote.read(files, "record.json"), key)
    has_curve = "trace.csv" in files.sizes
    trace = untrusted.parse_curve(remote.read(files, "trace.csv")) if has_curve else []
    has_snapshots = SNAPSHOTS in files.sizes
    snapshots = untrusted.unpack_snapshots(remote.read(files, SNAPSHOTS)) if has_snapshots else {}
    lacks_snapshots = not has_snapshots and len(_grid_images(files)) > 1
    png = _download_image(remote, files, record)
    return DownloadedCell(record, png, trace, snapshots, lacks_snapshots)


def _download_image(remote: Remote, files: Files, record: Record) -> bytes | None:
    """Return the stylized image, the last one in the cell's image grid."""
    if not record.image_sha256:
        return None
    images = _grid_images(files)
    if not images:
        raise RecordError("its image is missing")
    png = remote.read(files, images[max(images)], _max_png_bytes(record.width, record.height))
    if not untrusted.matches_image(record, png):
        raise RecordError("its image does not match the digest in its record")
    return png


def _grid_images(files: Files) -> dict[int, str]:
    """Return the paths of the images in the cell's image grid, by step."""
    matches = (match for match in map(IMAGE.fullmatch, files.sizes) if match)
    return {int(match[1]): match[0] for match in matches}


def _pull_run(remote: Remote, store: Store, page: ExistingRun, summary: PullSummary) -> bool:
    """Copy a run and its images if the store lacks them; return whether the run was new."""
    files = remote.files(page, INPUTS)
    run = untrusted.parse_suite_run(remote.read(files, "run.json"), store.suite)
    for path, (use, size) in _inputs(store, run).items():
        name = f"{INPUTS}/{path.name}"
        if not path.exists() and name in files.sizes:
            with _collect_errors(remote, name, summary):
                png = remote.read(files, name, _max_png_bytes(size, size))
                store.write_input(use, size, untrusted.check_input(png, size))
    if run.started in store.start_times():
        return False
    suite = remote.read(files, "suite.yaml") if "suite.yaml" in files.sizes else b""
    store.add_run(run, untrusted.decode_text(suite, "suite.yaml"))
    return True


def _inputs(store: Store, run: Run) -> dict[Path, tuple[ImageUse, int]]:
    """Return the content and style images of a run and their sizes, by their paths in the store."""
    cells = [record.cell for record in store.records(run)]
    return {store.input_path(i, c.size): (i, c.size) for c in cells for i in (c.content, c.style)}


def _max_png_bytes(width: int, height: int) -> int:
    """Return the limit for a PNG of a size: a little more than its pixels."""
    return min(4 * width * height, 2**30) + 2**16


def _ahead(work: Callable[[T], U], items: Iterable[T]) -> Iterator[tuple[T, Future[U]]]:
    """Process several items at once, but few in advance, since results wait in memory."""
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
def _collect_errors(remote: Remote, name: str, summary: PullSummary) -> Iterator[None]:
    """Record errors of one item and continue, unless the server does not respond any more."""
    try:
        yield
    except RecordError as error:
        summary.left_out.append(RecordError(f"{name}: {error}"))
    except TrackingError as error:
        summary.left_out.append(RecordError(f"{name}: {error}"))
        summary.server_errors += 1
        if summary.server_errors > MAX_SERVER_ERRORS:
            raise
        remote.ensure_alive()


@contextmanager
def _reported(uri: str) -> Iterator[None]:
    """Turn any error into TrackingError: each kind of artifact store raises its own."""
    try:
        with reported(uri):
            yield
    except NstbenchError:
        raise
    except Exception as error:
        what = redact(f"MLflow at {uri}: {type(error).__name__}: {error}")
        raise TrackingError(what) from error


def _ensure_file(uri: str) -> None:
    """Raise TrackingError if a database file does not exist; MLflow would create it."""
    file = address.database_file(uri)
    if file is not None and not file.exists():
        raise TrackingError(f"{file} does not exist.")
