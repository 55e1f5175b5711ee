"""Results on disk: `<out>/<suite>/`, which nothing else reads or writes; `rubbish` only removes.

    suite.yaml             the suite as it was resolved
    run.json               the latest invocation: its plan, its environment
    history/<started>.json the invocations that got something done, the latest among them
    history/<started>.yaml the suite as it was resolved for each
    results.csv            one row per cell, for other tools
    claims.csv             one row per claim, where the suite makes any
    report.html
    report/                index.html  images/              the same page, its images beside it
    cells/<id>/            record.json  image.png  trace.csv  snapshots/<step>.webp
    fits/<id>/             model.safetensors  fit.json     (methods that train)
    checkpoints/<id>/      state.safetensors               (of a training until it is done)
    inputs/<name>-<size>-<hash>.png                        contents and styles as they were used

A cell that an earlier run planned stays where it is, so that a page can be about that run; a cell
that runs again, with `--fresh` for one, is replaced for earlier runs too, since it is the same.
Whatever has a name here is whole: it is written under a temporary name first, then renamed.
"""

from __future__ import annotations

import csv
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from errno import ENOENT
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness import filesystem
from harness.errors import RecordError
from harness.records import SCHEMA, Cell, ImageUse, Record, Run, TracePoint

ELSEWHERE = "take another folder with --out"
PROBE_BYTES = 4096

IMAGE_FORMATS = ("PNG", "WEBP")
"""Of stored images: another one, that a stranger's store might hold, is not decoded."""

LOSSES = ("total", "content", "style", "tv")
SAVED = "saved_"
"""How columns of trace.csv begin that hold losses of the image as it would be saved."""
TRACE_COLUMNS = ("phase", "index", "seconds", *LOSSES)
SAVED_COLUMNS = tuple(f"{SAVED}{name}" for name in LOSSES)
"""Written where a method's own objective was evaluated on saved images."""

_RECORD = TypeAdapter(Record)
_RUN = TypeAdapter(Run)


class Store:
    """The folder of one suite, as of its latest run or of an earlier one."""

    def __init__(self, out: Path, suite: str, moment: Run | None = None) -> None:
        self.suite = suite
        self.root = out / suite
        self._moment = moment
        self._begun: tuple[int, int] | None = None  # which folder that was

    def begin(self) -> None:
        """Make ready for a run: it can be written, and nothing is left of processes that died.

        From now on nothing is written but to this very folder: where a disk was unmounted, a new
        one of the same name would be on another disk.

        Raises:
            StoreError: It cannot be written.
        """
        with self._writing():
            self.root.mkdir(parents=True, exist_ok=True)
            for part in self.parts():
                if filesystem.abandoned(part):
                    filesystem.discard(part)
            with tempfile.TemporaryFile(dir=self.root) as probe:
                probe.write(bytes(PROBE_BYTES))
            self._begun = self._identity()

    def parts(self) -> list[Path]:
        """Return what is half-written, by whomever; links to other folders are not followed."""
        folders = [self.root, *(p for p in self.root.glob("*/") if not p.is_symlink())]
        return [part for folder in folders for part in sorted(folder.glob(f"{filesystem.PART}*"))]

    def write(
        self,
        record: Record,
        png: bytes | None,
        trace: Sequence[TracePoint],
        snapshots: Mapping[int, bytes] = MappingProxyType({}),
    ) -> None:
        """Keep what came of a cell; an earlier record of the same cell is replaced."""
        with self._whole(self.root / "cells" / record.cell.id) as folder:
            (folder / "record.json").write_text(dump(record), encoding="utf-8")
            if png is not None:
                (folder / "image.png").write_bytes(png)
            if trace:
                _write_trace(folder / "trace.csv", trace)
            if snapshots:
                (folder / "snapshots").mkdir()
            for step, webp in snapshots.items():
                (folder / "snapshots" / f"{step:06}.webp").write_bytes(webp)

    def rewrite(self, record: Record) -> None:
        """Replace a cell's record alone; its image and trace stay."""
        with self._writing(), filesystem.replacing(self.record_path(record.cell.id)) as temporary:
            temporary.write_text(dump(record), encoding="utf-8")

    def read(self, cell_id: str) -> Record | None:
        """Return the record of a cell, or None where there is none yet."""
        # Ten thousand times at a start: a Path would take longer to build than the file to open.
        path = f"{self.root}/cells/{cell_id}/record.json"
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                text = file.read()
        except FileNotFoundError:
            return None
        return parse_record(text, path)

    def image(self, cell_id: str) -> Path | None:
        """Return where the stylized image of a cell is, if it has one."""
        path = self.root / "cells" / cell_id / "image.png"
        return path if path.exists() else None

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return where the images on the way of a cell are, by step, if it has any."""
        paths = (self.root / "cells" / cell_id / "snapshots").glob("*.webp")
        return {int(path.stem): path for path in sorted(paths)}

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return the loss curve of a cell: its fit first, then its stylization."""
        path = self.root / "cells" / cell_id / "trace.csv"
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return parse_trace(file)

    def trace_path(self, cell_id: str) -> Path:
        """Return where the loss curve of a cell is kept."""
        return self.root / "cells" / cell_id / "trace.csv"

    def record_path(self, cell_id: str) -> Path:
        """Return where the record of a cell is kept."""
        return self.root / "cells" / cell_id / "record.json"

    def write_run(self, run: Run) -> None:
        """Keep what the latest invocation set out to do, in the history too if it is a moment."""
        before = self._last()
        if before and not self._history():  # of a version that kept none
            self._remember(before, suite="")
        if not (before and _repeats(run, before)):
            self._remember(run, self._read_text("suite.yaml"))
        self._write_text("run.json", dump(run))

    def take_in(self, run: Run, suite: str) -> None:
        """Keep a run from elsewhere as a moment, and as the latest one where none is newer."""
        before = self._last()
        if before and not self._history():
            self._remember(before, suite="")
        self._remember(run, suite)
        if before is None or before.started <= run.started:
            self._write_text("suite.yaml", suite)
            self._write_text("run.json", dump(run))

    def run(self) -> Run:
        """Return the invocation that this store is about, the latest unless it was taken `at` one.

        Raises:
            RecordError: There is none.
        """
        if self._moment:
            return self._moment
        path = self.root / "run.json"
        if not path.exists():
            raise RecordError(
                f"{self.root} holds no results. `nstbench run suites/{self.suite}.yaml` makes "
                "them; --out names another folder."
            )
        run: Run = _load(_RUN, path)
        return run

    def moments(self) -> list[Run]:
        """Return the runs that one can go back to, the oldest first; the last is of today's plan.

        Runs that followed each other with one plan share their cells: one that was interrupted
        and those that went on are one moment, and so are a run and its repetition with `--fresh`.
        """
        history = [_load(_RUN, path) for path in self._history()] or [self.run()]
        return [list(alike)[-1] for _, alike in groupby(history, key=lambda run: run.aim)]

    def began(self) -> set[str]:
        """Return when the runs began that are known here."""
        latest = [self.root / "run.json"] if (self.root / "run.json").exists() else []
        return {_load(_RUN, path).started for path in (*self._history(), *latest)}

    def at(self, moment: Run) -> Store:
        """Return this store as it was about an earlier run."""
        return Store(self.root.parent, self.suite, moment)

    def records(self, run: Run) -> Iterator[Record]:
        """Yield the records of a run that exist by now, in plan order."""
        for cell_id in run.cells:
            if (record := self.read(cell_id)) is not None:
                yield record

    def all_records(self) -> list[Record]:
        """Return every record there is, of this run and of earlier ones; broken ones left out."""
        found = []
        for path in sorted(self.root.glob("cells/[!.]*/record.json")):
            try:
                found.append(_load(_RECORD, path))
            except RecordError:
                continue
        return found

    def write_suite(self, text: str) -> None:
        """Keep the suite as it was resolved."""
        self._write_text("suite.yaml", text)

    def suite_text(self) -> str:
        """Return the suite as it was resolved, or nothing where that was not kept."""
        name = _history_name(self._moment) if self._moment else "suite"
        return self._read_text(f"{name}.yaml")

    def write_report(self, html: str) -> Path:
        """Keep the page and return where it is."""
        return self._write_text("report.html", html)

    def write_report_folder(self, render: Callable[[Path], str]) -> Path:
        """Keep the page as a folder: `render` puts its files there and returns the HTML."""
        with self._writing():
            return write_page_folder(self.root / "report", render)

    def write_results(self, rows: Iterable[dict[str, Any]]) -> Path:
        """Keep one row per cell as results.csv, for other tools."""
        rows = list(rows)
        path = self.root / "results.csv"
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (
            self._writing(),
            filesystem.replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        return path

    def write_claims(self, text: str) -> Path:
        """Keep the verdicts as claims.csv, and return where."""
        return self._write_text("claims.csv", text)

    def page_paths(self) -> list[Path]:
        """Return what there is of the page and its tables, the page first."""
        paths = (self.root / name for name in ("report.html", "results.csv", "claims.csv"))
        return [path for path in paths if path.exists()]

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return where a content or style image is kept as it was used at `size`."""
        name = f"{image.name}-{size}-{image.sha256[:12]}.png"
        # Of a stranger's record it may be a path.
        return self.root / "inputs" / re.sub(r"[^\w.-]", "_", name)

    def write_input(self, image: ImageUse, size: int, png: bytes) -> None:
        """Keep a content or style image as it was used."""
        with self._writing(), filesystem.replacing(self.input_path(image, size)) as temporary:
            temporary.write_bytes(png)

    def fit(self, fit_id: str) -> tuple[bytes, dict[str, Any]] | None:
        """Return a fitted method's tensors (safetensors) and facts, if they were kept."""
        folder = self.root / "fits" / fit_id
        if not (folder / "fit.json").exists():
            return None
        facts = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        return (folder / "model.safetensors").read_bytes(), facts

    def write_fit(self, cell: Cell, model: bytes, facts: dict[str, Any]) -> None:
        """Keep a fitted method, so that further contents need no second training."""
        with self._whole(self.root / "fits" / cell.fit_id) as folder:
            (folder / "model.safetensors").write_bytes(model)
            (folder / "fit.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        self.drop_checkpoint(cell.fit_id)

    def checkpoint_path(self, fit_id: str) -> Path:
        """Return where the state of a training in progress is kept."""
        return self.root / "checkpoints" / fit_id / "state.safetensors"

    def write_checkpoint(self, fit_id: str, state: bytes) -> None:
        """Keep the state of a training; a power failure leaves this one whole, or the one before.

        Raises:
            OSError: It cannot be written; the one before is still there.
        """
        with (
            filesystem.replacing(self.checkpoint_path(fit_id)) as temporary,
            temporary.open("wb") as file,
        ):
            file.write(state)
            file.flush()
            os.fsync(file.fileno())

    def drop_checkpoint(self, fit_id: str) -> None:
        """Forget a training in progress, and what a process that died had half written of it."""
        filesystem.discard(self.checkpoint_path(fit_id).parent)

    def _history(self) -> list[Path]:
        return sorted(self.root.glob("history/[0-9]*.json"))

    def _last(self) -> Run | None:
        """Return the newest of the history, or what an earlier version left; None if unreadable."""
        path = (self._history() or [self.root / "run.json"])[-1]
        try:
            run: Run | None = _load(_RUN, path) if path.exists() else None
        except RecordError:
            return None  # the new run replaces it, or stands beside it
        return run

    def _remember(self, run: Run, suite: str) -> None:
        self._write_text(f"{_history_name(run)}.json", dump(run))
        if suite:
            self._write_text(f"{_history_name(run)}.yaml", suite)

    @contextmanager
    def _whole(self, target: Path) -> Iterator[Path]:
        """Fill a folder under a temporary name, then put it in place of any earlier one."""
        with self._writing(), filesystem.replacing_folder(target) as folder:
            yield folder

    def _write_text(self, name: str, text: str) -> Path:
        path = self.root / name
        with self._writing(), filesystem.replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        return path

    def _read_text(self, name: str) -> str:
        path = self.root / name
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what the disk refuses into a StoreError."""
        with filesystem.writing(self.root, ELSEWHERE):
            if self._begun and self._begun != self._identity():
                raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(self.root))
            yield

    def _identity(self) -> tuple[int, int]:
        found = self.root.stat()
        return found.st_dev, found.st_ino


def write_page(path: Path, html: str) -> Path:
    """Keep a page that is of no one suite, and return where it is."""
    with filesystem.writing(path.parent, ELSEWHERE), filesystem.replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")
    return path


def write_page_folder(target: Path, render: Callable[[Path], str]) -> Path:
    """Keep a page as a folder: `render` puts its files there and returns the HTML."""
    with (
        filesystem.writing(target.parent, ELSEWHERE),
        filesystem.replacing_folder(target) as folder,
    ):
        (folder / "index.html").write_text(render(folder), encoding="utf-8", newline="\n")
    return target / "index.html"


def _repeats(run: Run, before: Run) -> bool:
    """Tell whether a run found all done: it has made nothing that one could go back to."""
    done = before.finished and before.aim == run.aim and run.reused == len(run.cells)
    return done and run.started != before.started


def _history_name(run: Run) -> str:
    # Colons are not for file names everywhere.
    return f"history/{re.sub('[^0-9A-Za-z+.]+', '-', run.started)}"


def dump(data: Record | Run) -> str:
    """Return a record or a run as it is stored, and as `parse_record` and `parse_run` read it."""
    # NaN and infinity are not JSON; a score that has no finite value is None with a reason.
    return json.dumps(asdict(data), indent=1, ensure_ascii=False, allow_nan=False, default=list)


def parse_record(text: bytes, name: str) -> Record:
    """Return the record that a text holds.

    Raises:
        RecordError: It holds none; the message begins with the name.
    """
    record: Record = _parse(_RECORD, text, name)
    return record


def parse_run(text: bytes, name: str) -> Run:
    """Return the run that a text holds, as `parse_record` does."""
    run: Run = _parse(_RUN, text, name)
    return run


def parse_trace(lines: Iterable[str]) -> list[TracePoint]:
    """Return the loss curve that the lines of a table hold."""
    rows = csv.reader(lines)
    names = next(rows)[3:]
    return [_trace_point(row, names) for row in rows]


def _load(adapter: TypeAdapter[Any], path: Path) -> Any:
    return _parse(adapter, path.read_bytes(), str(path))


def _parse(adapter: TypeAdapter[Any], text: bytes, path: str) -> Any:
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecordError(
            f"{path} does not hold what this version (schema {SCHEMA}) reads: "
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}. "
            "Delete its folder and run the suite again."
        ) from None


def _write_trace(path: Path, trace: Sequence[TracePoint]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        with_saved = any(point.saved for point in trace)
        writer.writerow((*TRACE_COLUMNS, *(SAVED_COLUMNS if with_saved else ())))
        for point in trace:
            losses = [*_written(point.losses), *(_written(point.saved) if with_saved else ())]
            writer.writerow((point.phase, point.index, f"{point.seconds:.4f}", *losses))


def _written(losses: Mapping[str, float]) -> list[str]:
    return [f"{losses[name]:.7g}" if name in losses else "" for name in LOSSES]


def _trace_point(row: list[str], names: list[str]) -> TracePoint:
    phase, index, seconds, *cells = row
    found = {name: float(loss) for name, loss in zip(names, cells, strict=True) if loss}
    return TracePoint(
        phase="fit" if phase == "fit" else "stylize",
        index=int(index),
        seconds=float(seconds),
        losses={name: loss for name, loss in found.items() if not name.startswith(SAVED)},
        saved={
            name.removeprefix(SAVED): loss for name, loss in found.items() if name.startswith(SAVED)
        },
    )
