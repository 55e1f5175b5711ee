"""The state of a training in progress, kept in the store now and then for a process that follows.

A checkpoint is one safetensors file: tensors as such, the rest as JSON in its head, no pickle.
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

from harness.execution.fit import FitInProgress, FitStats, facts, taken
from harness.execution.machine.timing import synchronise
from harness.protocols import Checkpoints
from harness.store import Store

FORMAT = 1
HEAD = "nstbench"

MADE_WITH = ("nstbench", "torch", "numpy", "pillow", "cuda", "cudnn", "deterministic")
"""What draws, cuts and computes: a fit's id knows the device, not these. With another one of them
the steps that are left would not be those of an unbroken training."""

BUSY_SHARE = 0.01
"""What checkpoints may cost a training: where the disk is slow, they are further apart."""


class StoredCheckpoints(Checkpoints):
    """The checkpoint of one fit.

    Args:
        store: Keeps it.
        fit_id: Names it.
        fit: What is being made: its clock and its curve are part of the checkpoint.
        environment: Versions, see `harness.execution.machine.environment`.
        every: Seconds between two checkpoints, at least.
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
        """Return the state that an earlier process left, and count its part of the fit as done."""
        path = self.store.checkpoint_path(self.fit_id)
        if not path.exists():
            return None
        try:
            state, took, made_with = _read(path)
        except Exception as error:  # a broken file makes its readers raise anything
            self._anew(f"cannot be read, it may be cut short ({error})")
            return None
        if made_with != self.made_with:
            changes = (f"{name} {made_with.get(name)} -> {now}" for name, now in
                       self.made_with.items() if made_with.get(name) != now)  # fmt: skip
            self._anew(f"was made with other versions ({', '.join(changes)})")
            return None
        self.fit.resume(took)
        step = took.trace[-1].index if took.trace else 0
        self.fit.notes.append(
            f"The training was resumed at step {step}: its seconds are those of its parts together."
        )
        return state

    def offer(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Keep the state, if the last one is old enough."""
        if time.monotonic() < self._due:
            return
        synchronise(self.fit.device)  # what it has still to do is no cost of ours
        begin = time.monotonic()
        try:
            self.store.write_checkpoint(self.fit_id, self._packed(state()))
        except OSError as error:
            why = error.strerror or error
            self.fit.notes.append(f"A checkpoint of the training could not be kept: {why}.")
        now = time.monotonic()
        self._due = now + max(self.every, (now - begin) / BUSY_SHARE)

    def _packed(self, state: Mapping[str, Any]) -> bytes:
        tensors: dict[str, Tensor] = {}
        head = {
            "format": FORMAT,
            "made_with": self.made_with,
            "state": _taken_apart(state, tensors),
            "took": facts(self.fit.took()),
        }
        return safetensors.torch.save(tensors, {HEAD: json.dumps(head)})

    def _anew(self, why: str) -> None:
        self.fit.notes.append(f"The training was begun anew: its checkpoint {why}.")


def _read(path: Path) -> tuple[Mapping[str, Any], FitStats, Mapping[str, str]]:
    with safetensors.safe_open(path, "pt") as file:
        head = json.loads(file.metadata()[HEAD])
        if head["format"] != FORMAT:
            raise ValueError(f"format {head['format']} instead of {FORMAT}")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return _put_together(head["state"], tensors), taken(head["took"]), head["made_with"]


def _taken_apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a state for JSON, its tensors moved to `tensors`.

    Their layout in memory is kept: where moments are laid out otherwise than their weights, torch's
    fused Adam takes them for each other's, without a word.
    """
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        return {"tensor": name, "stride": torch.empty_like(value, device="meta").stride()}
    if isinstance(value, Mapping):
        return {"items": [[key, _taken_apart(one, tensors)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_taken_apart(one, tensors) for one in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"A checkpoint holds tensors, numbers, strings, booleans and None, in mappings and lists; "
        f"this one has a {type(value).__name__}."
    )


def _put_together(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the state that `_taken_apart` took apart."""
    if isinstance(value, list):
        return [_put_together(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        tensor = tensors[value["tensor"]]
        laid_out = torch.empty_strided(tensor.shape, value["stride"], dtype=tensor.dtype)
        return laid_out.copy_(tensor)
    return {key: _put_together(one, tensors) for key, one in value["items"]}
