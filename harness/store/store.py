"""Results on disk: `<out>/<suite>/`, which no other module reads or writes.

    suite.yaml             the resolved suite
    run.json               the latest run: its plan and its environment
    history/<started>.json the runs that produced results, the latest among them
    history/<started>.yaml the resolved suite of each
    results.csv            one row per cell, for other tools
    claims.csv             one row per claim, if the suite makes any
    report.html
    report/                index.html  images/              the same page, images in files
    cells/<id>/            record.json  image.png  trace.csv  snapshots/<step>.webp
    fits/<id>/             model.safetensors  fit.json      methods that train
    checkpoints/<id>/      state.safetensors                a training in progress
    inputs/<name>-<size>-<hash>.png                         content and style images as used

Cells of earlier runs stay, so that a page can be about those runs. A cell that runs again, for
example with `--fresh`, is replaced for all runs. Every file is complete: it is written under a
temporary name and then renamed.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness import filesystem
from harness.errors import RecordError
from harness.records import Cell, ImageUse, Record, Run, TracePoint
from harness.store.folder import OUT_HINT
from harness.store.history import RunHistory
from harness.store.serialization import dump, parse_record, parse_trace, read_record, write_trace

IMAGE_FORMATS = ("PNG", "WEBP")
"""Formats of stored images; others, perhaps in a store from elsewhere, are not decoded."""


class Store(RunHistory):
    """The results of one suite, as of its latest run or of an earlier one."""

    def at(self, revision: Run) -> Store:
        """Return this store as of an earlier run."""
        return Store(self.root.parent, self.suite, revision)

    def write(
        self,
        record: Record,
        png: bytes | None,
        trace: Sequence[TracePoint],
        snapshots: Mapping[int, bytes] = MappingProxyType({}),
    ) -> None:
        """Write the result of a cell in place of any earlier one.

        Args:
            record: The result.
            png: The stylized image, if there is one.
            trace: The loss curve; may be empty.
            snapshots: Intermediate images as WebP, by step.
        """
        with self._replacing_folder(self.root / "cells" / record.cell.id) as folder:
            (folder / "record.json").write_text(dump(record), encoding="utf-8")
            if png is not None:
                (folder / "image.png").write_bytes(png)
            if trace:
                write_trace(folder / "trace.csv", trace)
            if snapshots:
                (folder / "snapshots").mkdir()
            for step, webp in snapshots.items():
                (folder / "snapshots" / f"{step:06}.webp").write_bytes(webp)

    def rewrite(self, record: Record) -> None:
        """Replace the record of a cell; its image and trace stay."""
        with self._replacing(self.record_path(record.cell.id)) as temporary:
            temporary.write_text(dump(record), encoding="utf-8")

    def read(self, cell_id: str) -> Record | None:
        """Return the record of a cell, or None if there is none yet."""
        # A start reads thousands of records, and building a Path is slower than opening a file.
        path = f"{self.root}/cells/{cell_id}/record.json"
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                text = file.read()
        except FileNotFoundError:
            return None
        return parse_record(text, path)

    def records(self, run: Run) -> Iterator[Record]:
        """Yield the records of a run that exist so far, in plan order."""
        for cell_id in run.cells:
            if (record := self.read(cell_id)) is not None:
                yield record

    def all_records(self) -> list[Record]:
        """Return the records of all runs; unreadable ones are left out."""
        records = []
        for path in sorted(self.root.glob("cells/[!.]*/record.json")):
            try:
                records.append(read_record(path))
            except RecordError:
                continue
        return records

    def image(self, cell_id: str) -> Path | None:
        """Return the path of a cell's stylized image, or None if it has none."""
        path = self.root / "cells" / cell_id / "image.png"
        return path if path.exists() else None

    def snapshots(self, cell_id: str) -> dict[int, Path]:
        """Return the paths of a cell's intermediate images, by step."""
        paths = (self.root / "cells" / cell_id / "snapshots").glob("*.webp")
        return {int(path.stem): path for path in sorted(paths)}

    def trace(self, cell_id: str) -> list[TracePoint]:
        """Return the loss curve of a cell: its fit, then its stylization."""
        path = self.trace_path(cell_id)
        if not path.exists():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return parse_trace(file)

    def trace_path(self, cell_id: str) -> Path:
        """Return the path of a cell's loss curve."""
        return self.root / "cells" / cell_id / "trace.csv"

    def record_path(self, cell_id: str) -> Path:
        """Return the path of a cell's record."""
        return self.root / "cells" / cell_id / "record.json"

    def write_report(self, html: str) -> Path:
        """Write the page and return its path."""
        return self._write_text("report.html", html)

    def write_report_folder(self, render: Callable[[Path], str]) -> Path:
        """Write the page as a folder: `render` puts its files there and returns the HTML."""
        with self._writing():
            return write_page_folder(self.root / "report", render)

    def write_results(self, rows: Iterable[dict[str, Any]]) -> Path:
        """Write results.csv, one row per cell, and return its path."""
        rows = list(rows)
        path = self.root / "results.csv"
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (
            self._replacing(path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)
        return path

    def write_claims(self, text: str) -> Path:
        """Write claims.csv and return its path."""
        return self._write_text("claims.csv", text)

    def page_paths(self) -> list[Path]:
        """Return the paths of the page and its tables that exist, the page first."""
        paths = (self.root / name for name in ("report.html", "results.csv", "claims.csv"))
        return [path for path in paths if path.exists()]

    def input_path(self, image: ImageUse, size: int) -> Path:
        """Return the path of a content or style image as used at `size`."""
        name = f"{image.name}-{size}-{image.sha256[:12]}.png"
        # The name may come from a record of another machine, and could be a path.
        return self.root / "inputs" / re.sub(r"[^\w.-]", "_", name)

    def write_input(self, image: ImageUse, size: int, png: bytes) -> None:
        """Write a content or style image as it was used."""
        with self._replacing(self.input_path(image, size)) as temporary:
            temporary.write_bytes(png)

    def fit(self, fit_id: str) -> tuple[bytes, dict[str, Any]] | None:
        """Return the tensors (safetensors) and facts of a fitted method, or None."""
        folder = self.root / "fits" / fit_id
        if not (folder / "fit.json").exists():
            return None
        facts = json.loads((folder / "fit.json").read_text(encoding="utf-8"))
        return (folder / "model.safetensors").read_bytes(), facts

    def write_fit(self, cell: Cell, model: bytes, facts: dict[str, Any]) -> None:
        """Write a fitted method, so that further contents need no second training."""
        with self._replacing_folder(self.root / "fits" / cell.fit_id) as folder:
            (folder / "model.safetensors").write_bytes(model)
            (folder / "fit.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        self.drop_checkpoint(cell.fit_id)

    def checkpoint_path(self, fit_id: str) -> Path:
        """Return the path of the state of a training in progress."""
        return self.root / "checkpoints" / fit_id / "state.safetensors"

    def write_checkpoint(self, fit_id: str, state: bytes) -> None:
        """Write the state of a training; after a power failure the old or the new one is complete.

        Raises:
            OSError: It cannot be written; the previous state is still there.
        """
        with (
            filesystem.replacing(self.checkpoint_path(fit_id)) as temporary,
            temporary.open("wb") as file,
        ):
            file.write(state)
            file.flush()
            os.fsync(file.fileno())

    def drop_checkpoint(self, fit_id: str) -> None:
        """Delete the state of a training, and incomplete files of it that a crash left."""
        filesystem.discard(self.checkpoint_path(fit_id).parent)


def write_page(path: Path, html: str) -> Path:
    """Write a page about several suites, and return its path."""
    with filesystem.writing(path.parent, OUT_HINT), filesystem.replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8", newline="\n")
    return path


def write_page_folder(target: Path, render: Callable[[Path], str]) -> Path:
    """Write a page as a folder: `render` puts its files there and returns the HTML."""
    with (
        filesystem.writing(target.parent, OUT_HINT),
        filesystem.replacing_folder(target) as folder,
    ):
        (folder / "index.html").write_text(render(folder), encoding="utf-8", newline="\n")
    return target / "index.html"
