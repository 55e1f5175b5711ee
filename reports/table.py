"""Records -> one flat row per cell: results.csv, and what the leaderboard counts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from harness.records import Direction, Record, Skip, Timing
from reports.text import plain

Key = TypeVar("Key", bound=Hashable)


def rows(records: Iterable[Record], skipped: Iterable[Skip] = ()) -> list[dict[str, Any]]:
    """Return one row per cell, in plan order; cells that were skipped come last."""
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
    """Return the rows as a frame; what only skipped cells have is there too, and empty."""
    return pd.DataFrame(table, columns=[*dict.fromkeys(key for row in table for key in row)])


@dataclass(frozen=True)
class Stat:
    """A column of one variant: its mean over cells, and the pairs that these cells are of."""

    mean: float
    deviation: float | None  # of the sample; None for a single value
    n: int
    pairs: frozenset[str]


def stat(cells: pd.DataFrame, column: str, per: str = "cell") -> Stat | None:
    """Return the mean of a column, one value per `per`, or None where no cell has a value."""
    if column not in cells:
        return None
    have = cells[cells[column].notna()]
    values = have.drop_duplicates(per)[column].astype(float)
    if values.empty:
        return None
    deviation = float(values.std(ddof=1)) if len(values) > 1 else None
    return Stat(float(values.mean()), deviation, len(values), frozenset(have["pair"]))


def best(values: Mapping[Key, float], better: Direction) -> set[Key]:
    """Return who has the best value; nobody where there is no contest."""
    if better == "neither" or len(set(values.values())) < 2:
        return set()
    goal = min(values.values()) if better == "lower" else max(values.values())
    return {key for key, value in values.items() if value == goal}


def comparable(stats: Mapping[Key, Stat]) -> set[Key]:
    """Return those whose mean is over all the pairs that the most complete one has.

    A variant that failed on the hardest pair would otherwise win for it.
    """
    most = max((stat.pairs for stat in stats.values()), key=len, default=frozenset())
    return {key for key, stat in stats.items() if stat.pairs >= most}


def _row(record: Record) -> dict[str, Any]:
    cell, failure = record.cell, record.failure
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
        "status": record.status,
        "reason": f"{failure.kind}: {failure.message}" if failure else None,
        **{score.name: _finite(score.value) for score in record.scores},
        **_timing(record.timing),
        "width": record.width,
        "height": record.height,
        "image_sha256": record.image_sha256,
        "encoder": cell.encoder.name,
        "encoder_sha256": cell.encoder.sha256,
        "precision": cell.precision,
        "device": cell.device,
        "fit": cell.fit_id,
        "started": record.started,
        **{f"param.{name}": plain(value) for name, value in cell.params.items()},
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
