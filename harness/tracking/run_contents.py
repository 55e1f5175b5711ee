"""The contents of MLflow runs: parameters, metrics, tags and files of a cell, variant or report."""

from __future__ import annotations

import datetime
import getpass
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeVar

from PIL import Image as Pillow

from harness.records import Record, Run, TracePoint
from harness.store import IMAGE_FORMATS, SAVED, Store, dump, redact
from harness.store.traces import without_trials
from harness.tracking.run_payload import Point, RunPayload

CURVE_POINTS = 200
"""Points per metric: 200 take 0.1 s; the whole curve is in the artifact trace.csv."""

SNAPSHOTS, INPUTS = "snapshots.zip", "inputs"
"""A file and a folder for `pull`; the UI shows neither. One file needs fewer requests than many."""

MAX_SNAPSHOTS = 4
"""Images besides the stylized one on the slider of the UI's image grid."""

REPORT = "report "
"""Prefix of the keys of runs that hold a page."""

SUMMARY_PIXELS = 384

T = TypeVar("T")

CELLS_NOTE = (
    "One run per cell: a variant of a method on one content and style. Under *Views*, *By variant* "
    "shows the means of each variant as a table and as charts, of the first 100 cells until you "
    "choose *load more*. `final/*` are scores of the saved image, `final/objective` is its total "
    "loss; `loss/*` is each method's own objective on raw pixels, `loss/saved_*` on images as they "
    "would be saved (neither is comparable between methods). The experiment with the suffix "
    "`-summary` has the matrix of images and the means over all cells."
)
SUMMARY_NOTE = (
    "One run per variant, with its means over all cells. Under *Views*, *Pairs × variants* is the "
    "matrix of images; click the chart symbol above the list to see it. The UI shows images of ten "
    "runs at once, so further variants have further views. A run `report` has the page, "
    "report.html."
)


def cell_tags(record: Record) -> dict[str, str]:
    """Return the tags of a cell's run."""
    cell, noisy = record.cell, record.timing.noisy if record.timing else ""
    missing = [f"{s.name}: {s.why_missing}" for s in record.scores if s.value is None]
    stand_ins = [image.stand_in for image in (cell.content, cell.style) if image.stand_in]
    return {
        "nst.cell": cell.id,
        "nst.status": record.status,
        "nst.variant": cell.variant,
        "nst.pair": cell.pair,
        "nst.deterministic": record.environment.get("deterministic", "seeded"),
        **({"nst.failure": record.failure.message[:500]} if record.failure else {}),
        **({"nst.stand_in": ", ".join(stand_ins)} if stand_ins else {}),
        **({"nst.noisy": noisy[:500]} if noisy else {}),
        **({"nst.timed": record.timed} if record.timed not in ("", "stylization") else {}),
        **({"nst.missing_scores": "; ".join(missing)[:500]} if missing else {}),
        **({"nst.notes": "; ".join(record.notes)[:500]} if record.notes else {}),
    }


def add_cell(payload: RunPayload, store: Store, record: Record) -> None:
    """Add the parameters, metrics, images and files of a cell."""
    cell = record.cell
    trace, snapshots = store.trace(cell.id), list(store.snapshots(cell.id).items())
    payload.params = _params(record)
    payload.points = [*_final_points(record), *_curve_points(trace)]
    if snapshots:
        payload.bundle(SNAPSHOTS, [path for _, path in snapshots])
    for step, path in thinned(snapshots, MAX_SNAPSHOTS):
        with Pillow.open(path, formats=IMAGE_FORMATS) as picture:
            payload.image(picture.convert("RGB"), "stylized", step)
    if (image := store.image(cell.id)) is not None:
        with Pillow.open(image, formats=IMAGE_FORMATS) as picture:
            last = trace[-1].index if trace else 0
            payload.image(picture.convert("RGB"), "stylized", last, file=image)
    payload.file(store.record_path(cell.id))
    if trace:
        payload.file(store.trace_path(cell.id))


def add_variant(payload: RunPayload, store: Store, records: Sequence[Record]) -> None:
    """Add the levels and means of a variant, and one small image per cell."""
    cell = records[0].cell
    payload.params = {"method": cell.method, **{k: _shorten(v) for k, v in cell.levels.items()}}
    payload.points = list(_mean_points(records))
    for record in records:
        if (image := store.image(record.cell.id)) is None:
            continue
        with Pillow.open(image, formats=IMAGE_FORMATS) as picture:
            small = picture.convert("RGB")
        small.thumbnail((SUMMARY_PIXELS, SUMMARY_PIXELS))
        payload.image(small, record.cell.pair, record.cell.seed)


def report_texts(store: Store, run: Run) -> dict[str, str]:
    """Return the run and its resolved suite by file name, without credentials."""
    texts = {"run.json": dump(run), "suite.yaml": store.suite_text()}
    return {name: redact(text) for name, text in texts.items()}


def input_paths(store: Store, records: Sequence[Record]) -> list[Path]:
    """Return the paths of the content and style images that were stored."""
    cells = [record.cell for record in records]
    paths = {store.input_path(i, c.size) for c in cells for i in (c.content, c.style)}
    return sorted(path for path in paths if path.exists())


def source_tags() -> dict[str, str]:
    """Return the tags from which the UI shows who created a run, and with which command."""
    from harness.resources.software import commit

    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": redact(" ".join(["nstbench", *sys.argv[1:]]))[:500],
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": commit().removesuffix("-dirty"),
    }
    return {key: value for key, value in tags.items() if value}


def record_digest(record: Record, names: Sequence[str] = ()) -> str:
    """Return a digest of a record, and of the names of files that it does not list itself."""
    text = json.dumps(asdict(record), sort_keys=True, default=list)
    return hashlib.sha256("\n".join([text, *names]).encode()).hexdigest()


def start_milliseconds(started: str) -> int:
    """Return an ISO time as milliseconds since 1970; the current time if it is empty."""
    time = datetime.datetime.fromisoformat(started) if started else None
    return round((time or datetime.datetime.now(datetime.UTC)).timestamp() * 1000)


def thinned(points: Sequence[T], count: int = CURVE_POINTS) -> list[T]:
    """Return at most `count` points, evenly spaced, the last among them."""
    if len(points) <= count:
        return list(points)
    step = (len(points) - 1) / (count - 1)
    return [points[round(i * step)] for i in range(count)]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _params(record: Record) -> dict[str, str]:
    cell = record.cell
    facts = {
        "method": cell.method,
        "variant": cell.variant,
        "content": cell.content.name,
        "style": cell.style.name,
        "pair": cell.pair,
        "seed": cell.seed,
        "size": cell.size,
        **({"style_size": cell.style_size} if cell.style_size else {}),
        "encoder": cell.encoder.name,
        "weights": f"{cell.encoder.origin} {cell.encoder.sha256[:12]}",
        "device": cell.device,
        "precision": cell.precision,
    }
    return {key: _shorten(value) for key, value in {**cell.params, **facts}.items()}


def _shorten(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return str(value)[:500]


def _final_points(record: Record) -> Iterator[Point]:
    """Yield the scores and costs of a record."""
    values: dict[str, float | None] = {
        "final/objective": record.objective,
        "final/objective_raw": record.objective_raw,
        **{f"final/{s.name}": s.value for s in record.scores},
    }
    if record.timing is not None:
        values |= {
            "time/fit_s": record.timing.fit_seconds,
            "time/stylize_s": record.timing.stylize_seconds,
            "time/total_s": record.timing.fit_seconds + record.timing.stylize_seconds,
            "time/step_ms": record.timing.pass_ms[1] if record.timing.pass_ms else None,
            "time/stylize_calibrated": record.timing.calibrated,
            "mem/peak_mb": record.timing.peak_mb,
        }
    for key, value in values.items():
        if value is not None:
            yield key, float(value), 0, 0


def _curve_points(trace: Sequence[TracePoint]) -> Iterator[Point]:
    """Yield the loss curve of the stylization, or of the training if that has none."""
    points = [p for p in trace if p.phase == "stylize"] or list(trace)
    for point in thinned(without_trials(points)):
        yield from _loss_points("", point.losses, point)
    for point in points:
        yield from _loss_points(SAVED, point.saved, point)


def _loss_points(prefix: str, losses: Mapping[str, float], point: TracePoint) -> Iterator[Point]:
    for name, loss in losses.items():
        # SQL stores turn infinity into 1.8e308, which ruins every chart, and leave NaN out.
        finite = loss if abs(loss) < float("inf") else float("nan")
        yield f"loss/{prefix}{name}", finite, point.index, round(point.seconds * 1000)


def _mean_points(records: Sequence[Record]) -> Iterator[Point]:
    columns: dict[str, list[float]] = {}
    for record in records:
        for key, value, _, _ in _final_points(record):
            columns.setdefault(key, []).append(value)
    for key, values in columns.items():
        yield f"mean/{key}", mean(values), 0, 0
        if len(values) > 1:
            yield f"sd/{key}", stdev(values), 0, 0
    yield "n/cells", float(len(records)), 0, 0
    yield "n/failed", float(sum(not record.ok for record in records)), 0, 0
