"""What a cell computes with: its encoder, random generator, training crops and checkpoints."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch

from harness import encoders
from harness.encoders.feature_extractor import LayeredEncoder
from harness.execution.checkpoints import StoredCheckpoints
from harness.execution.fit import FitInProgress
from harness.execution.machine.timing import OwnMeasurement
from harness.plan import Resources
from harness.protocols import Checkpoints, Context, Image, Step, SupportsExport
from harness.records import Cell, EncoderUse
from harness.resources.training_images import Crops

OnStep: TypeAlias = Callable[[Step], None]


def derive_seed(seed: int, *names: str) -> int:
    """Return a 63-bit seed for a suite seed and the names of content, style and purpose.

    The method's name is not an argument: every variant draws the same noise and batches.
    """
    words = [seed, *(zlib.crc32(name.encode()) for name in names)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def ignore_step(step: Step) -> None:
    """Do nothing: for fits and stylizations whose steps are not recorded."""


class ContextFactory:
    """Makes the context of every fit and stylization; loads encoders and photographs once."""

    def __init__(self, resources: Resources, device: torch.device) -> None:
        self._resources, self._device = resources, device
        self._encoders: dict[str, LayeredEncoder] = {}  # by the SHA-256 of their weights
        self._crops: dict[tuple[int, int], Crops] = {}  # by crop and image size

    def encoder(self, use: EncoderUse) -> LayeredEncoder:
        """Return an encoder: the judge, or one that a cell names."""
        if use.sha256 not in self._encoders:
            self._encoders[use.sha256] = encoders.load(
                use,
                self._resources.encoder_files[use.sha256],
                device=self._device,
                precision=self._resources.precision,
            )
        return self._encoders[use.sha256]

    def encoder_for(self, method: Any, cell: Cell) -> LayeredEncoder:
        """Return the encoder of a cell, with stand-ins for the layers that it lacks."""
        encoder = self.encoder(cell.encoder)
        return encoder.with_stand_ins(encoders.replacement_layers(method, encoder.layers))

    def make(
        self,
        cell: Cell,
        encoder: LayeredEncoder,
        *purpose: str,
        on_step: OnStep = ignore_step,
        notes: list[str] | None = None,
        checkpoints: Checkpoints | None = None,
        own: OwnMeasurement | None = None,
    ) -> Context:
        """Return a context with a newly seeded generator.

        Args:
            cell: Decides the seed and the image size.
            encoder: From `encoder` or `encoder_for`.
            purpose: Names that the seed is derived from, for example content and style.
            on_step: Receives the steps.
            notes: Receives the notes; without it they are dropped.
            checkpoints: Where a fit saves its state.
            own: Receives what the method measures itself.
        """
        generator = torch.Generator().manual_seed(derive_seed(cell.seed, *purpose))

        def batches(batch_size: int, crop: int | None, skip: int = 0) -> Iterator[Image]:
            key = (crop or cell.size, cell.size)
            if key not in self._crops:
                self._crops[key] = Crops(self._resources.training_files, *key)
            return self._crops[key].batches(batch_size, generator, skip)

        return Context(
            device=self._device,
            generator=generator,
            encoder=encoder,
            size=cell.size,
            on_step=on_step,
            batches=batches,
            note=(notes if notes is not None else []).append,
            checkpoints=checkpoints or Checkpoints(),
            inputs=cell.inputs,
            measured=own or OwnMeasurement(),
        )

    def checkpoints(self, method: Any, cell: Cell, fit: FitInProgress) -> Checkpoints:
        """Return where a fit saves its state: nowhere if the method cannot export its fits."""
        store = self._resources.store
        if store is None or not isinstance(method, SupportsExport):
            return Checkpoints()
        environment, seconds = self._resources.environment, self._resources.checkpoint_seconds
        return StoredCheckpoints(store, cell.fit_id, fit, environment, seconds)
