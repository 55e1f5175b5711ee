"""Stores with random scores and real images, for commands that read results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from harness import suite
from harness.execution.prepare import ReadyRun, RunOptions, prepare
from harness.execution.scoring import blank_score
from harness.records import Cell, Record, Timing, TracePoint
from harness.resources.images import PHOTOGRAPHS, read, skimage_photograph, to_png

SUITE = """\
version: 1
name: {name}
encoder: random
sizes: [256]
contents: {{coffee: {{builtin: coffee}}, rocket: {{builtin: rocket}}, chelsea: {{builtin: chelsea}},
  astronaut: {{builtin: astronaut}}, motorcycle: {{builtin: motorcycle_left}}}}
styles: {{brick: {{builtin: brick}}, grass: {{builtin: grass}}, gravel: {{builtin: gravel}},
  hubble: {{builtin: hubble_deep_field}}}}
methods:
  gatys:
    axes:
      optimizer: [lbfgs, adam]
      iterations: [50, 100, 150, 200, 300]
      style_weight: {style_weights}
seeds: {seeds}
"""
PASSES = 150


def write_suite(folder: Path, name: str, style_weights: int, seeds: int) -> Path:
    """Write a suite of 5 x 4 pairs with 10 x `style_weights` variants and return its path."""
    path = folder / f"{name}.yaml"
    weights = [10.0**power for power in range(style_weights)]
    path.write_text(
        SUITE.format(name=name, style_weights=weights, seeds=list(range(seeds))), encoding="utf-8"
    )
    return path


def fill(path: Path, out: Path, *, with_images: bool) -> ReadyRun:
    """Store a result for every cell of a suite; images are empty files without `with_images`."""
    ready = prepare(suite.load(path), RunOptions(out=out, device="cpu", offline=True))
    ready.write_inputs()
    images = _images() if with_images else iter(lambda: b"", None)
    for cell, png in zip(ready.plan.cells, images, strict=False):
        trace = _trace(cell) if with_images else []
        ready.store.write(_record(ready, cell), png, trace)
    run = ready.run_record(command="", started="2026-01-01T00:00:00+00:00", tracking="")
    ready.store.write_run(replace(run, finished=True))
    return ready


def _record(ready: ReadyRun, cell: Cell) -> Record:
    rng = np.random.default_rng([cell.seed, int(cell.id, 16)])
    blank = (blank_score(metric, ready.resources.encoder) for metric in ready.resources.metrics)
    return Record(
        cell,
        "done",
        scores=tuple(replace(score, value=float(rng.random())) for score in blank),
        timing=Timing(0.1, False, rng.random(), 1, 0.1, PASSES, (1.0, 2.0, 3.0), 512.0, "process"),
        width=256,
        height=171,
        image_sha256=cell.id,
        environment=ready.resources.environment,
        started="2026-01-01T00:00:00+00:00",
    )


def _trace(cell: Cell) -> list[TracePoint]:
    start = 1 + int(cell.id, 16) % 7
    return [
        TracePoint(
            "stylize", i, i / 100, {"total": start / i, "content": 0.5 / i, "style": 0.5 / i}
        )
        for i in range(1, PASSES + 1)
    ]


def _images() -> Iterator[bytes]:
    """Yield recolored crops of photographs, which compress like real images."""
    rng = np.random.default_rng(0)
    sources = [np.asarray(read(skimage_photograph(name))) for name in PHOTOGRAPHS]
    while True:
        for source in sources:
            top, left = (int(rng.integers(0, edge - 299)) for edge in source.shape[:2])
            crop = source[top : top + 200, left : left + 299]
            small = Pillow.fromarray(crop).resize((256, 171), Pillow.Resampling.LANCZOS)
            mixed = np.asarray(small) @ rng.dirichlet((1, 1, 1), 3).T
            yield to_png(mixed.clip(0, 255).astype(np.uint8))
