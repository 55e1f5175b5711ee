"""Validate what a server sent; reject files that are not what their names say."""

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
TRACE_HEADERS = [",".join(TRACE_COLUMNS), ",".join((*TRACE_COLUMNS, *SAVED_COLUMNS))]
SNAPSHOT = re.compile(r"(\d{6,9})\.webp")
MAX_STEPS, MAX_SNAPSHOTS = 2**31, 100


def parse_cell_record(text: bytes, cell_id: str) -> Record:
    """Return the record of a cell.

    Raises:
        RecordError: It is not a record, of another cell, or cannot be stored and sent again.
    """
    found = parse_record(text, "record.json")
    if found.cell.id != cell_id:
        raise RecordError(f"record.json is of cell {found.cell.id}")
    _check(found, found.started)
    return found


def parse_suite_run(text: bytes, suite: str) -> Run:
    """Return a run of a suite.

    Raises:
        RecordError: It is not a run, of another suite, or has invalid cell ids.
    """
    found = parse_run(text, "run.json")
    if found.suite != suite:
        raise RecordError(f"run.json is of suite {quoted(found.suite)}")
    if not all(map(CELL_ID.fullmatch, found.cells)):
        raise RecordError("run.json has cell ids that are not 12 hexadecimal digits")
    if not STARTED.fullmatch(found.started):
        raise RecordError(f"run.json has the invalid start time {quoted(found.started)}")
    _check(found, found.started)
    return found


def decode_text(data: bytes, name: str) -> str:
    """Return a text.

    Raises:
        RecordError: It is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise RecordError(f"{name} is not UTF-8 text") from None


def parse_curve(data: bytes) -> list[TracePoint]:
    """Return a loss curve.

    Raises:
        RecordError: It is not a loss curve.
    """
    lines = decode_text(data, "trace.csv").splitlines()
    if not lines or lines[0] not in TRACE_HEADERS:
        raise RecordError("trace.csv does not have the columns of a loss curve")
    try:
        points = parse_trace(lines)
    except Exception as error:  # csv, float and unpacking raise various errors
        raise RecordError(f"trace.csv is not a loss curve: {error}") from None
    if not all(math.isfinite(p.seconds) and 0 <= p.index < MAX_STEPS for p in points):
        raise RecordError("trace.csv has steps or seconds out of range")
    return points


def matches_image(record: Record, png: bytes) -> bool:
    """Return whether a PNG has the pixels whose digest is in a record.

    Raises:
        RecordError: It is not a PNG of the record's size.
    """
    expected = (record.width, record.height)
    picture = _decode(png, "PNG", lambda *size: size == expected)
    return hashlib.sha256(picture.tobytes()).hexdigest() == record.image_sha256


def unpack_snapshots(data: bytes) -> dict[int, bytes]:
    """Return the intermediate images in a zip archive, by step.

    Raises:
        RecordError: It is not such an archive.
    """
    try:
        with ZipFile(io.BytesIO(data)) as file:
            # A compressed entry could expand to far more than the size of the file.
            entries = [entry for entry in file.infolist() if entry.compress_type == ZIP_STORED]
            if sum(entry.file_size for entry in entries) > len(data):
                raise RecordError("entries overlap")
            names = [SNAPSHOT.fullmatch(entry.filename) for entry in entries[:MAX_SNAPSHOTS]]
            found = {int(name[1]): file.read(name[0]) for name in names if name}
    except Exception as error:  # decoders raise various errors for broken files
        raise RecordError(f"the intermediate images cannot be read: {error}") from None
    for webp in found.values():
        _decode(webp, "WEBP", lambda *size: max(size) <= SNAPSHOT_EDGE)
    return found


def check_input(png: bytes, size: int) -> bytes:
    """Return a content or style image, a PNG with a long edge of `size` pixels.

    Raises:
        RecordError: It is not such an image.
    """
    _decode(png, "PNG", lambda *found: max(found) == size)
    return png


def _check(found: Record | Run, started: str) -> None:
    """Raise RecordError if a record or run cannot be stored, or its start time is invalid."""
    try:
        dump(found)
        datetime.fromisoformat(started or "2000-01-01")
    except ValueError as error:
        raise RecordError(f"it cannot be stored: {error}") from None


def _decode(data: bytes, kind: str, size_allowed: Callable[[int, int], bool]) -> Pillow.Image:
    """Decode a picture of a format, if its size is allowed."""
    try:
        with Pillow.open(io.BytesIO(data), formats=(kind,)) as picture:
            width, height = picture.size
            if size_allowed(width, height) and width * height <= MAX_PIXELS:
                return picture.convert("RGB")
    except Exception as error:  # decoders raise various errors for broken files
        raise RecordError(f"an image cannot be read: {error}") from None
    raise RecordError(f"an image has {width} x {height} pixels, which is not allowed")
