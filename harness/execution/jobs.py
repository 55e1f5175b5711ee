"""What a worker receives and returns: plain data that any executor can transfer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.records import Cell, Record, TracePoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with (phase, index, of) a few times per second."""


@dataclass(frozen=True)
class Job:
    """A cell with the pixels of its images, uint8 (H, W, 3)."""

    cell: Cell
    content: NDArray[np.uint8]
    style: NDArray[np.uint8]
    kept: tuple[bytes, dict[str, Any]] | None = None  # fitted tensors and facts of an earlier run
    stored: Record | None = None  # set if the image exists and only scores are missing
    image: Path | None = None  # the stored image, set together with `stored`
    own_style: NDArray[np.uint8] | None = None  # at the cell's style size, if that is another

    @property
    def style_to_learn(self) -> NDArray[np.uint8]:
        """The style that the method receives; `style` has the size of the content, as judged."""
        return self.style if self.own_style is None else self.own_style


@dataclass(frozen=True)
class Outcome:
    """A record with the data that is stored beside it."""

    record: Record
    pixels: NDArray[np.uint8] | None = None  # (H, W, 3); encoded outside the worker
    trace: Sequence[TracePoint] = ()
    snapshots: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)  # by step
    fitted: tuple[bytes, dict[str, Any]] | None = None  # new fitted tensors to store, and facts
    files: Encoded | None = None  # replaces pixels and snapshots


@dataclass(frozen=True)
class Encoded:
    """The images of an outcome as files."""

    png: bytes | None
    webps: Mapping[int, bytes]  # by step
