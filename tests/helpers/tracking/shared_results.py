"""A store of small results, sent to MLflow and pulled from it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import Result

from harness.execution.image_encoding import encode_snapshot
from harness.records import Record, Run, TracePoint
from harness.resources.images import to_png
from harness.store import Store
from harness.tracking.tracker import Tracker
from reports import page
from tests.helpers.command_line import command
from tests.helpers.report_page import CUP, ENCODER, WAVE, cell, png, record

SEEDS = 9
RUN_FIELDS: dict[str, Any] = {
    "suite": "artists", "description": "Who is best?", "profile": "", "skipped": (),
    "metrics": ("ssim",), "encoder": ENCODER, "device": "cpu", "precision": "float32",
    "finished": True, "tracking": "http://me:secret@server",
}  # fmt: skip


def make_record(seed: int, **changes: Any) -> tuple[Record, bytes]:
    """Return a record and its image."""
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8)
    sha256 = hashlib.sha256(pixels.tobytes()).hexdigest()
    facts = {"width": 64, "height": 48, "image_sha256": sha256, "started": "2026-01-01T00:00:00"}
    return record(cell("gatys[adam]", seed=seed), **facts | changes), to_png(pixels)


def fill(store: Store, seeds: range, started: str) -> Store:
    """Write a run: a curve for every cell, intermediate images for every other one."""
    for seed in seeds:
        one, image = make_record(seed)
        curve = [TracePoint("stylize", i, i / 8, {"total": 9.5 / i}) for i in range(1, 9)]
        webp = encode_snapshot(np.full((48, 64, 3), seed, np.uint8))
        store.write(one, image, curve, dict.fromkeys((1, 2, 5), webp) if seed % 2 else {})
    for use in (CUP, WAVE):
        store.write_input(use, 64, png(size=(64, 48)))
    store.write_suite("name: artists\n")
    cells = tuple(make_record(seed)[0].cell.id for seed in seeds)
    store.write_run(Run(cells=cells, started=started, **RUN_FIELDS))
    page.write(store)
    return store


def send(store: Store, uri: str) -> int:
    """Do what `sync` does; return the number of runs that were sent."""
    tracker, records = Tracker(store, uri, verify=True), list(store.records(store.run()))
    for each in records:
        tracker.cell(each)
    tracker.variants(records)
    tracker.report(store.run(), records, store.page_paths())
    return tracker.sent


def pull(out: Path, uri: str, name: str = "artists") -> Result:
    return command("pull", name, "--out", out, "--tracking-uri", uri)


def files_of(store: Store) -> dict[str, bytes]:
    """Return the contents of all files of a store by path, without the lock."""
    paths = (path for path in store.root.rglob("*") if path.is_file())
    return {str(p.relative_to(store.root)): p.read_bytes() for p in paths if p.name != ".lock"}
