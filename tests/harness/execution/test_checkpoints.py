"""An interrupted training resumes and ends with the same bits as an uninterrupted one."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image as Pillow

from harness.execution import checkpoints
from harness.execution.checkpoints import StoredCheckpoints
from harness.execution.fit import FitInProgress, FitStats
from harness.execution.machine.background_load import BackgroundLoad
from harness.execution.machine.timing import PeakMemory, Trace
from harness.protocols import Checkpoints, Step
from harness.records import Record
from harness.registry import METHODS
from harness.store import Store
from tests.harness.store.test_store import CELL

CPU = torch.device("cpu")
STEPS = 8
RECIPE = {
    "steps": STEPS, "width": 0.25, "batch_size": 3, "crop": 32,
    "content_layers": ["relu1_2"], "style_layers": ["relu1_2"],
}  # fmt: skip
"""With two photographs and batches of three, every other batch starts within a permutation."""

ENVIRONMENT = {"torch": "2.15.0", "pillow": "12.0", "commit": "abc"}


class PowerFailure(BaseException):
    """An exception that the code under test does not catch."""


def fit_in_progress() -> FitInProgress:
    trace = Trace("fit", CPU, lambda *progress: None)
    return FitInProgress(trace, PeakMemory(CPU), BackgroundLoad(1), [])


def stored_checkpoints(store: Store, fit: FitInProgress, **environment: str) -> StoredCheckpoints:
    return StoredCheckpoints(store, CELL.fit_id, fit, {**ENVIRONMENT, **environment}, every=0.0)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store; checkpoints are written after every step."""
    monkeypatch.setattr(checkpoints, "MAX_TIME_SHARE", math.inf)
    return Store(tmp_path, "s")


Train = Callable[..., tuple[dict[str, torch.Tensor], FitStats]]


@pytest.fixture
def train(context: Any, photograph: Any) -> Train:
    """Train a small network, to the end or until a power failure in step `fails_at`."""

    def run(
        store: Store | None = None, fails_at: int = 0, norm: str = "instance", **environment: str
    ) -> tuple[dict[str, torch.Tensor], FitStats]:
        fit = fit_in_progress()

        def on_step(step: Step) -> None:
            if step.index == fails_at:
                raise PowerFailure
            fit.trace.on_step(step)

        made = replace(
            context(size=48),
            on_step=on_step,
            checkpoints=stored_checkpoints(store, fit, **environment) if store else Checkpoints(),
        )
        method = METHODS.build("johnson", {**RECIPE, "norm": norm})
        return method.fit(photograph("rocket", 48), made).tensors(), fit.stats()

    return run


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def losses(stats: FitStats) -> list[tuple[int, Any]]:
    return [(point.index, point.losses) for point in stats.trace]


@pytest.mark.parametrize("norm", ["instance", "batch"])  # batch norm has running statistics
def test_a_training_interrupted_twice_ends_like_an_uninterrupted_one(
    train: Train, store: Store, norm: str
) -> None:
    network, stats = train(norm=norm)
    for fails_at in (4, 7):
        with pytest.raises(PowerFailure):
            train(store, fails_at, norm)
    resumed, parts = train(store, norm=norm)
    assert equal(resumed, network)
    assert losses(parts) == losses(stats)
    assert [point.index for point in parts.trace] == list(range(1, STEPS + 1))
    assert [note[:38] for note in parts.notes] == [
        "The training was resumed at step 3: it",
        "The training was resumed at step 6: it",
    ]
    at = [point.seconds for point in parts.trace]
    assert at == sorted(at)
    assert at[-1] < parts.seconds


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a checkpoint")


def change_format(path: Path) -> None:
    path.write_bytes(
        safetensors.torch.save({"0": torch.zeros(1)}, {"nstbench": json.dumps({"format": 0})})
    )


@pytest.mark.parametrize(
    ("corrupt", "environment", "why"),
    [
        (truncate, {}, "cannot be read, it may be truncated"),
        (overwrite, {}, "cannot be read, it may be truncated"),
        (change_format, {}, "format 0 instead of 1"),
        (None, {"torch": "2.16.0"}, "other versions (torch 2.15.0 -> 2.16.0)"),
    ],
)
def test_an_unusable_checkpoint_is_ignored_with_a_note(
    store: Store, corrupt: Any, environment: dict[str, str], why: str
) -> None:
    stored_checkpoints(store, fit_in_progress()).offer(lambda: {"weight": torch.rand(1000)})
    if corrupt:
        corrupt(store.checkpoint_path(CELL.fit_id))
    fit = fit_in_progress()
    assert stored_checkpoints(store, fit, **environment).load() is None
    (note,) = fit.notes
    assert note.startswith("The training was restarted: its checkpoint")
    assert why in note


def test_a_training_restarts_and_finishes_if_checkpoints_can_be_neither_read_nor_written(
    train: Train, store: Store
) -> None:
    with pytest.raises(PowerFailure):
        train(store, fails_at=3)
    path = store.checkpoint_path(CELL.fit_id)
    path.unlink()
    path.mkdir()  # cannot be replaced by a file
    network, stats = train(store)
    assert equal(network, train()[0])
    assert len(stats.trace) == STEPS
    assert [note[:40] for note in stats.notes] == [
        "The training was restarted: its checkpoi",
        "A checkpoint of the training could not b",
    ]
    assert [one.name for one in path.parent.iterdir()] == [path.name]  # no partial files are left


def test_a_state_is_restored_with_its_memory_layout(store: Store) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state = {
        "optimizer": {"state": {0: {"step": torch.tensor(7.0), "moment": weight}}, "betas": [0.9]},
        "generator": generator.get_state(),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "twice": [weight, weight[0, :, 1]],
        "plain": {"loss": math.inf, "name": "x", "none": None, "flag": True},
    }
    stored_checkpoints(store, fit_in_progress()).offer(lambda: state)
    found = stored_checkpoints(store, fit_in_progress()).load()
    assert found is not None
    moment = found["optimizer"]["state"][0]["moment"]
    assert torch.equal(moment, weight)
    assert moment.stride() == weight.stride()
    assert torch.equal(found["twice"][1], weight[0, :, 1])
    assert torch.equal(found["half"], state["half"])
    assert found["plain"] == state["plain"]
    expected = torch.rand(3, generator=generator)
    other = torch.Generator()
    other.set_state(found["generator"])
    assert torch.equal(torch.rand(3, generator=other), expected)


def test_an_unsupported_type_in_a_state_is_rejected_by_name(store: Store) -> None:
    with pytest.raises(TypeError, match="in mappings and lists; this one has a set"):
        stored_checkpoints(store, fit_in_progress()).offer(lambda: {"seen": {1, 2}})


def test_checkpoints_respect_the_interval_and_the_share_of_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    offered: list[float] = []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoints, "MAX_TIME_SHARE", 0.01)
    keeper = StoredCheckpoints(store, CELL.fit_id, fit_in_progress(), {}, every=60.0)

    def state() -> dict[str, Any]:
        offered.append(clock[0] - 1000)
        clock[0] += 0.5 if len(offered) == 1 else 2.0  # the disk becomes slow
        return {}

    while clock[0] < 1500:
        keeper.offer(state)
        clock[0] += 1
    # Half a second is less than 1 % of 60 s; 2 s are 1 % of the 200 s that follow.
    assert offered == [60.0, 120.5, 322.5]


def test_a_checkpoint_is_deleted_once_its_fit_is_stored_or_has_diverged(store: Store) -> None:
    from harness.api.run_loop import _store
    from harness.execution.jobs import Outcome

    folder = store.checkpoint_path(CELL.fit_id).parent
    for outcome in (
        Outcome(Record(CELL, "diverged")),
        Outcome(Record(CELL, "done"), fitted=(b"tensors", {})),
    ):
        store.write_checkpoint(CELL.fit_id, b"state")
        (folder / ".part-1-state.safetensors").write_bytes(b"half")  # of a killed process
        _store(store, outcome)
        assert not folder.exists()
    store.write_checkpoint(CELL.fit_id, b"state")
    _store(store, Outcome(Record(CELL, "out_of_memory")))
    assert store.checkpoint_path(CELL.fit_id).read_bytes() == b"state"


SUITE = """\
version: 1
name: nets
encoder: random
sizes: [64]
contents: {coffee: {builtin: coffee}}
styles: {grass: {builtin: grass}}
methods:
  johnson: {params: {width: 0.25, steps: 100, batch_size: 2, crop: 32}}
metrics: [ssim]
"""

FREQUENT_CHECKPOINTS = """\
import functools
import harness.execution.prepare as prepare
prepare.Resources = functools.partial(prepare.Resources, checkpoint_seconds=0.0)
from harness.cli.main import main
main()
"""
"""`nstbench` with no minimum time between two checkpoints."""


def start(how: tuple[str, str], *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *how, *map(str, arguments), "--no-mlflow"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def test_a_killed_run_resumes_its_training_unless_fresh_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # the killed run leaves files there
    suite, out, other = tmp_path / "nets.yaml", tmp_path / "out", tmp_path / "other"
    suite.write_text(SUITE, encoding="utf-8")
    killed = start(("-c", FREQUENT_CHECKPOINTS), "run", suite, "--out", out)
    deadline = time.monotonic() + 120
    while not list(out.glob("nets/checkpoints/*/state.safetensors")):
        assert killed.poll() is None, killed.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    shutil.copytree(out, other)

    runs = [
        start(("-m", "nstbench"), "run", suite, "--out", out),
        start(("-m", "nstbench"), "run", suite, "--out", other, "--fresh"),
    ]
    for run in runs:
        output = run.communicate(timeout=120)[0]
        assert run.returncode == 0, output
    found = []
    for folder in (out, other):
        store = Store(folder, "nets")
        (record,) = store.records(store.run())
        with Pillow.open(folder / "nets" / "cells" / record.cell.id / "image.png") as image:
            found.append((record, np.asarray(image), store.trace(record.cell.id)))
        assert not list(folder.glob("nets/checkpoints/*"))
        assert store.fit(record.cell.fit_id)
    (resumed, pixels, curve), (uninterrupted, expected, complete_curve) = found
    assert any(note.startswith("The training was resumed at step") for note in resumed.notes)
    assert not any("resumed" in note for note in uninterrupted.notes)
    assert (pixels == expected).all()
    assert [(p.index, p.losses) for p in curve] == [(p.index, p.losses) for p in complete_curve]
    assert [p.index for p in curve] == list(range(1, 101))
