"""What somebody else's server sent, taken only where it is what it says it is."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable
from datetime import datetime
from zipfile import ZIP_STORED, ZipFile

from PIL import Image as Pillow

from harness.errors import RecordError, quoted
from harness.records import SNAPSHOT_EDGE, Record, Run, TracePoint
from harness.resources.images import MAX_PIXELS
from harness.store import SAVED_COLUMNS, TRACE_COLUMNS, dump, parse_record, parse_run, parse_trace

CELL_ID = re.compile(r"[0-9a-f]{12}")
STARTED = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,15}(\+00:00)?")
HEADS = [",".join(TRACE_COLUMNS), ",".join((*TRACE_COLUMNS, *SAVED_COLUMNS))]
SNAPSHOT = re.compile(r"(\d{6,9})\.webp")
MAX_STEPS, MAX_SNAPSHOTS = 2**31, 100


def record(text: bytes, cell_id: str) -> Record:
    """Return the record of a cell.

    Raises:
        RecordError: It is none, or of another cell, or cannot be stored and mirrored again.
    """
    found = parse_record(text, "record.json")
    if found.cell.id != cell_id:
        raise RecordError(f"record.json is of cell {found.cell.id}")
    _check(found, found.started)
    return found


def run(text: bytes, suite: str) -> Run:
    """Return a run of a suite.

    Raises:
        RecordError: It is none, or of another suite, or its cells cannot be cells.
    """
    found = parse_run(text, "run.json")
    if found.suite != suite:
        raise RecordError(f"run.json is of suite {quoted(found.suite)}")
    if not all(map(CELL_ID.fullmatch, found.cells)):
        raise RecordError("run.json names cells by what no cell is called")
    if not STARTED.fullmatch(found.started):
        raise RecordError(f"run.json says that it began at {quoted(found.started)}")
    _check(found, found.started)
    return found


def text(data: bytes, name: str) -> str:
    """Return a text.

    Raises:
        RecordError: It is none.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise RecordError(f"{name} is no text") from None


def trace(data: bytes) -> list[TracePoint]:
    """Return a loss curve.

    Raises:
        RecordError: It is none.
    """
    lines = text(data, "trace.csv").splitlines()
    if not lines or lines[0] not in HEADS:
        raise RecordError("trace.csv has other columns than a loss curve")
    try:
        points = parse_trace(lines)
    except Exception as error:  # of csv's, of float's, of too few columns
        raise RecordError(f"trace.csv holds no loss curve: {error}") from None
    if not all(math.isfinite(p.seconds) and 0 <= p.index < MAX_STEPS for p in points):
        raise RecordError("trace.csv has steps or seconds that no curve has")
    return points


def is_image_of(found: Record, png: bytes) -> bool:
    """Tell whether a PNG has the very pixels that a record was written about.

    Raises:
        RecordError: It is no PNG of that size.
    """
    own = (found.width, found.height)
    picture = _decoded(png, "PNG", lambda *size: size == own)
    return hashlib.sha256(picture.tobytes()).hexdigest() == found.image_sha256


def snapshots(data: bytes) -> dict[int, bytes]:
    """Return the images on the way that a zip file holds, by step.

    Raises:
        RecordError: It is none, or holds something else.
    """
    try:
        with ZipFile(io.BytesIO(data)) as file:
            # Compressed they would be images of another size than the file has.
            kept = [entry for entry in file.infolist() if entry.compress_type == ZIP_STORED]
            if sum(entry.file_size for entry in kept) > len(data):
                raise RecordError("they lie on top of each other")
            names = [SNAPSHOT.fullmatch(entry.filename) for entry in kept[:MAX_SNAPSHOTS]]
            found = {int(name[1]): file.read(name[0]) for name in names if name}
    except Exception as error:  # a broken file makes decoders raise anything
        raise RecordError(f"the images on the way cannot be read: {error}") from None
    for webp in found.values():
        _decoded(webp, "WEBP", lambda *size: max(size) <= SNAPSHOT_EDGE)
    return found


def resized_input(png: bytes, size: int) -> bytes:
    """Return a content or style image with a long edge of `size` pixels.

    Raises:
        RecordError: It is none.
    """
    _decoded(png, "PNG", lambda *found: max(found) == size)
    return png


def _check(found: Record | Run, started: str) -> None:
    """See that what was read can be written, and its time be told."""
    try:
        dump(found)
        datetime.fromisoformat(started or "2000-01-01")
    except ValueError as error:
        raise RecordError(f"it cannot be kept: {error}") from None


def _decoded(data: bytes, kind: str, fits: Callable[[int, int], bool]) -> Pillow.Image:
    """Return a picture of a kind, which is decoded only if its size fits."""
    try:
        with Pillow.open(io.BytesIO(data), formats=(kind,)) as picture:
            width, height = picture.size
            if fits(width, height) and width * height <= MAX_PIXELS:
                return picture.convert("RGB")
    except Exception as error:  # a broken file makes decoders raise anything
        raise RecordError(f"an image cannot be read: {error}") from None
    raise RecordError(f"an image has {width} x {height} pixels, which it cannot have")
