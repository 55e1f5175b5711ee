"""Records, runs and traces as text, and back."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.errors import RecordError
from harness.records import SCHEMA, Record, Run, TracePoint

LOSSES = ("total", "content", "style", "tv")
SAVED = "saved_"
"""Prefix of the columns of trace.csv with losses of the image as it would be saved."""
TRACE_COLUMNS = ("phase", "index", "seconds", *LOSSES)
SAVED_COLUMNS = tuple(f"{SAVED}{name}" for name in LOSSES)
"""Present only where a method's own objective was evaluated on saved images."""

_RECORD = TypeAdapter(Record)
_RUN = TypeAdapter(Run)
_CREDENTIALS = re.compile(
    r"((?:postgres|mysql|mssql)[\w+]*://)\S+(?=@)"  # SQLAlchemy accepts any character
    r"|(//)(?:[^/\s'\"]+|[^:/@\s]+:(?!\d+/)[^@\s]+)(?=@)"
    r"|([?&]password=)[^&\s'\"]+"
)


def dump(data: Record | Run) -> str:
    """Return a record or a run as JSON, in the form that `parse_record` and `parse_run` read.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    # NaN and infinity are not JSON; a score without a finite value is None, with a reason.
    return json.dumps(asdict(data), indent=1, ensure_ascii=False, allow_nan=False, default=list)


def parse_record(text: bytes, name: str) -> Record:
    """Return the record in a JSON text.

    Raises:
        RecordError: The text is not a record; the message begins with `name`.
    """
    record: Record = _parse(_RECORD, text, name)
    return record


def parse_run(text: bytes, name: str) -> Run:
    """Return the run in a JSON text.

    Raises:
        RecordError: The text is not a run; the message begins with `name`.
    """
    run: Run = _parse(_RUN, text, name)
    return run


def read_record(path: Path) -> Record:
    """Return the record in a file. Raise RecordError where it is not one."""
    return parse_record(path.read_bytes(), str(path))


def read_run(path: Path) -> Run:
    """Return the run in a file. Raise RecordError where it is not one."""
    return parse_run(path.read_bytes(), str(path))


def parse_trace(lines: Iterable[str]) -> list[TracePoint]:
    """Return the loss curve in the lines of a CSV table."""
    rows = csv.reader(lines)
    names = next(rows)[3:]
    return [_trace_point(row, names) for row in rows]


def write_trace(path: Path, trace: Sequence[TracePoint]) -> None:
    """Write a loss curve as a CSV table; SAVED_COLUMNS only if a point has such losses."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        with_saved = any(point.saved for point in trace)
        writer.writerow((*TRACE_COLUMNS, *(SAVED_COLUMNS if with_saved else ())))
        for point in trace:
            losses = [*_loss_cells(point.losses), *(_loss_cells(point.saved) if with_saved else ())]
            writer.writerow((point.phase, point.index, f"{point.seconds:.4f}", *losses))


def redact(text: str) -> str:
    """Hide user names and passwords in URLs: pages and servers have other readers."""
    return _CREDENTIALS.sub(lambda match: "".join(filter(None, match.groups())) + "…", text)


def _parse(adapter: TypeAdapter[Any], text: bytes, name: str) -> Any:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(
            f"{name} cannot be read by this version (schema {SCHEMA}): "
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}. "
            "Delete its folder and run the suite again."
        ) from None


def _loss_cells(losses: Mapping[str, float]) -> list[str]:
    return [f"{losses[name]:.7g}" if name in losses else "" for name in LOSSES]


def _trace_point(row: list[str], names: list[str]) -> TracePoint:
    phase, index, seconds, *cells = row
    values = {name: float(loss) for name, loss in zip(names, cells, strict=True) if loss}
    return TracePoint(
        phase="fit" if phase == "fit" else "stylize",
        index=int(index),
        seconds=float(seconds),
        losses={name: loss for name, loss in values.items() if not name.startswith(SAVED)},
        saved={
            name.removeprefix(SAVED): loss
            for name, loss in values.items()
            if name.startswith(SAVED)
        },
    )
