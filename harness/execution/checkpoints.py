"""Save the state of a training to the store, so that a later process can resume it.

A checkpoint is one safetensors file: tensors as such, the rest as JSON in its header, no pickle.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from harness.execution.fit import FitInProgress, FitStats, from_json, to_json
from harness.execution.machine.timing import synchronise
from harness.protocols import Checkpoints
from harness.store import Store

FORMAT = 1
HEADER_KEY = "nstbench"

MADE_WITH = ("nstbench", "torch", "numpy", "pillow", "cuda", "cudnn", "deterministic")
"""Parts of the environment that influence a training and are not in its fit id. A training that
resumed with another of them would not equal an uninterrupted one."""

MAX_TIME_SHARE = 0.01
"""Share of a training's time that checkpoints may take: on a slow disk they are less frequent."""


class StoredCheckpoints(Checkpoints):
    """The checkpoint of one fit.

    Args:
        store: Where it is stored.
        fit_id: Names it.
        fit: The running fit: its seconds and its curve are part of the checkpoint.
        environment: Versions, see `harness.execution.machine.environment`.
        every: Least seconds between two checkpoints.
    """

    def __init__(
        self,
        store: Store,
        fit_id: str,
        fit: FitInProgress,
        environment: Mapping[str, str],
        every: float,
    ) -> None:
        self.store, self.fit_id, self.fit, self.every = store, fit_id, fit, every
        self.made_with = {name: environment.get(name, "") for name in MADE_WITH}
        self._due = time.monotonic() + every

    def load(self) -> Mapping[str, Any] | None:
        """Return the state that an earlier process saved, and add its time and curve to the fit."""
        path = self.store.checkpoint_path(self.fit_id)
        if not path.exists():
            return None
        try:
            state, stats, made_with = _read(path)
        except Exception as error:  # parsing a damaged file may raise anything
            self._note_restart(f"cannot be read, it may be truncated ({error})")
            return None
        if made_with != self.made_with:
            changes = (f"{name} {made_with.get(name)} -> {now}" for name, now in
                       self.made_with.items() if made_with.get(name) != now)  # fmt: skip
            self._note_restart(f"was made with other versions ({', '.join(changes)})")
            return None
        self.fit.resume(stats)
        step = stats.trace[-1].index if stats.trace else 0
        self.fit.notes.append(
            f"The training was resumed at step {step}: its seconds are the sum over its parts."
        )
        return state

    def offer(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Save the state if the last checkpoint is old enough."""
        if time.monotonic() < self._due:
            return
        synchronise(self.fit.device)  # pending work of the training does not count
        start = time.monotonic()
        try:
            self.store.write_checkpoint(self.fit_id, self._pack(state()))
        except OSError as error:
            why = error.strerror or error
            self.fit.notes.append(f"A checkpoint of the training could not be saved: {why}.")
        now = time.monotonic()
        self._due = now + max(self.every, (now - start) / MAX_TIME_SHARE)

    def _pack(self, state: Mapping[str, Any]) -> bytes:
        tensors: dict[str, Tensor] = {}
        header = {
            "format": FORMAT,
            "made_with": self.made_with,
            "state": _to_json(state, tensors),
            "took": to_json(self.fit.stats()),
        }
        return safetensors.torch.save(tensors, {HEADER_KEY: json.dumps(header)})

    def _note_restart(self, why: str) -> None:
        self.fit.notes.append(f"The training was restarted: its checkpoint {why}.")


def _read(path: Path) -> tuple[Mapping[str, Any], FitStats, Mapping[str, str]]:
    with safetensors.safe_open(path, "pt") as file:
        header = json.loads(file.metadata()[HEADER_KEY])
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']} instead of {FORMAT}")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    state = _from_json(header["state"], tensors)
    return state, from_json(header["took"]), header["made_with"]


def _to_json(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a state as JSON data, with its tensors moved to `tensors`.

    The strides are stored too: torch's fused Adam silently mixes up elements if the moments have
    another memory layout than their weights.
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        return {"tensor": name, "stride": torch.empty_like(value, device="meta").stride()}
    if isinstance(value, Mapping):
        return {"items": [[key, _to_json(one, tensors)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_to_json(one, tensors) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"A checkpoint holds tensors, numbers, strings, booleans and None, in mappings and lists; "
        f"this one has a {type(value).__name__}."
    )


def _from_json(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the state that `_to_json` was given."""
    if isinstance(value, list):
        return [_from_json(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        laid_out = torch.empty_strided(tensor.shape, value["stride"], dtype=tensor.dtype)
        return laid_out.copy_(tensor)
    return {key: _from_json(one, tensors) for key, one in value["items"]}
