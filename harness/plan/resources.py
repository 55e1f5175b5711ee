"""What a suite can use on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records import EncoderUse, ImageUse, TrainingUse

if TYPE_CHECKING:
    from harness.store import Store


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What was found for a suite, and the settings that its cells share.

    The plan is made from it, and every worker receives a copy. A string in place of an image or an
    encoder is the reason why it is missing.
    """

    encoder: EncoderUse  # the suite's: the judge of all, and the default of methods
    device: str  # "cpu", or the GPU's name
    precision: str
    contents: Mapping[str, ImageUse | str] = field(default_factory=dict)
    styles: Mapping[str, ImageUse | str] = field(default_factory=dict)
    encoders: Mapping[str, EncoderUse | str] = field(default_factory=dict)  # that methods name
    encoder_files: Mapping[str, Path | None] = field(default_factory=dict)
    """SHA-256 of weights -> their file; None for random weights."""
    training: TrainingUse | None = None
    training_files: tuple[Path, ...] = ()
    metrics: tuple[Any, ...] = ()  # instances, resolved for this machine
    environment: Mapping[str, str] = field(default_factory=dict)
    repeats: int = 10  # of a quick stylization, at most
    store: Store | None = None  # where trainings save their checkpoints
    checkpoint_seconds: float = 60.0  # between two checkpoints, at least
    deterministic: bool = False

    @property
    def found_encoders(self) -> list[EncoderUse]:
        """All encoders that were found."""
        return [self.encoder, *(e for e in self.encoders.values() if isinstance(e, EncoderUse))]
