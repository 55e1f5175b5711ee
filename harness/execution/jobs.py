"""What goes to a worker and what comes back: plain data, so that any executor can carry it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.records import Cell, EncoderUse, Record, Score, TracePoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.store import Store

Progress: TypeAlias = Callable[[str, int, int], None]
"""(phase, index, of), a few times a second."""


@dataclass(frozen=True)
class Setup:
    """What all cells of a run share."""

    judge: EncoderUse  # that scores are taken through
    encoder_files: Mapping[str, Path | None]  # SHA-256 -> weights; None where they are drawn
    device: str
    precision: str
    metrics: tuple[Any, ...]  # instances, equipped for this machine
    training_files: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 10  # at most, of a quick stylization
    store: Store | None = None  # keeps the checkpoints of trainings
    checkpoint_seconds: float = 60.0  # between two of them, at least
    deterministic: bool = False


@dataclass(frozen=True)
class Job:
    """A cell with the pixels of its images, uint8 (H, W, 3)."""

    cell: Cell
    content: NDArray[np.uint8]
    style: NDArray[np.uint8]
    kept: tuple[bytes, dict[str, Any]] | None = None  # its fitted tensors, from an earlier run
    stored: Record | None = None  # set where the image is there and only scores are wanted
    image: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """A record with what does not fit into it."""

    record: Record
    pixels: NDArray[np.uint8] | None = None  # not yet a PNG: others have the time to encode
    trace: Sequence[TracePoint] = ()
    snapshots: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)  # by step
    fitted: tuple[bytes, dict[str, Any]] | None = None  # newly fitted tensors to keep, and facts
    files: Encoded | None = None  # in place of pixels and snapshots


@dataclass(frozen=True)
class Encoded:
    """The images of an outcome as files."""

    png: bytes | None
    webps: Mapping[int, bytes]  # by step


def score_name(metric: Any) -> str:
    """Return what a metric's score is called: its own word, or its class name in snake case."""
    if hasattr(metric, "score_name"):
        return str(metric.score_name)
    name = type(metric).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def blank_score(metric: Any, judge: EncoderUse) -> Score:
    """Return a metric's score without a value; the lens `encoder` stands for the judge."""
    through_judge = metric.lens == "encoder"
    return Score(
        name=score_name(metric),
        value=None,
        unit=metric.unit,
        better=metric.better,
        lens=judge.name if through_judge else metric.lens,
        version=metric.version,
        why_missing=getattr(metric, "missing", ""),
        lens_sha256=judge.sha256 if through_judge else getattr(metric, "lens_sha256", ""),
    )
