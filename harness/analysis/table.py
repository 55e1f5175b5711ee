"""Records as flat rows, one per cell: the contents of results.csv, and the input of comparisons."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from harness.analysis import comparable_costs
from harness.records import Cell, Record, Skip, Timing


def rows(records: Iterable[Record], skipped: Iterable[Skip] = ()) -> list[dict[str, Any]]:
    """Return one row per cell, in plan order, with skipped cells last."""
    return [_row(record) for record in records] + [
        {
            "cell": "",
            "name": skip.name,
            "variant": skip.variant,
            "pair": skip.pair,
            "status": "skipped",
            "reason": skip.reason,
        }
        for skip in skipped
    ]


def frame(table: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as a frame with the columns of all rows.

    Integers stay integers where some are missing: pandas would make them floats.
    """
    made = pd.DataFrame(table, columns=[*dict.fromkeys(key for row in table for key in row)])
    for name in made.select_dtypes("float"):
        values = [row.get(name) for row in table]
        if all(value is None or isinstance(value, int) for value in values):
            fits = all(-(2**63) <= value < 2**63 for value in values if value is not None)
            made[name] = pd.Series(values, dtype="Int64" if fits else object)
    return made


def lenses(records: Iterable[Record]) -> dict[str, str]:
    """Return the network that each score uses, by the name of the score."""
    return {score.name: score.lens for record in records for score in record.scores}


def plain(value: Any) -> str:
    """Return the value of a parameter as text, as in a suite."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=list)


def planned(cell: Cell) -> dict[str, Any]:
    """Return the row of a cell that has not run yet."""
    return {**_place(cell), **_circumstances(cell)}


def _place(cell: Cell) -> dict[str, Any]:
    return {
        "cell": cell.id,
        "name": cell.name,
        "variant": cell.variant,
        "label": cell.label,
        "method": cell.method,
        "version": cell.version,
        "anchor": cell.anchor,
        "content": cell.content.name,
        "style": cell.style.name,
        "pair": cell.pair,
        "size": cell.size,
        "seed": cell.seed,
    }


def _circumstances(cell: Cell) -> dict[str, Any]:
    return {
        "encoder": cell.encoder.name,
        "encoder_sha256": cell.encoder.sha256,
        "uses_encoder": cell.uses_encoder,
        **({"style_size": cell.style_size} if cell.style_size else {}),
        "precision": cell.precision,
        "device": cell.device,
        "fit": cell.fit_id,
        **{f"param.{name}": plain(value) for name, value in cell.params.items()},
    }


def _row(record: Record) -> dict[str, Any]:
    failure = record.failure
    missing = [f"{s.name}: {s.why_missing}" for s in record.scores if s.value is None]
    return {
        **_place(record.cell),
        "status": record.status,
        "reason": f"{failure.kind}: {failure.message}" if failure else None,
        **{score.name: _finite(score.value) for score in record.scores},
        **({"missing_scores": "; ".join(missing)} if missing else {}),
        "objective": record.objective,
        "objective_raw": record.objective_raw,
        "objective_of": record.objective_of or None,
        comparable_costs.COLUMN: record.timed or None,
        **_timing(record.timing),
        "width": record.width,
        "height": record.height,
        "image_sha256": record.image_sha256,
        "started": record.started,
        **_circumstances(record.cell),
    }


def _timing(timing: Timing | None) -> dict[str, Any]:
    if timing is None:
        return {}
    low, median, high = timing.pass_ms or (None, None, None)
    return {
        "fit_seconds": timing.fit_seconds,
        "fit_shared": timing.fit_shared,
        "stylize_seconds": timing.stylize_seconds,
        "repeats": timing.repeats,
        "warm_up_seconds": timing.warm_up_seconds,
        "passes": timing.passes,
        "pass_ms": median,
        "pass_ms_25": low,
        "pass_ms_75": high,
        "peak_mb": timing.peak_mb,
        "peak_of": timing.peak_of,
        "load": timing.load,
        "noisy": timing.noisy or None,
        "shared_by": timing.shared_by,
        "calibration_ms": timing.calibration_ms,
        "stylize_calibrated": timing.calibrated,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
