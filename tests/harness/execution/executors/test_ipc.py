"""Transfer of jobs and outcomes between processes."""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.execution.executors import ipc
from harness.execution.executors.ipc import Sender, take, unpack, write
from harness.execution.jobs import Job, Outcome
from harness.records import Cell, EncoderUse, ImageUse, Record


def job(content: str = "a", **more: Any) -> Job:
    image, style = ImageUse(content, content, "here"), ImageUse("style", "style", "here")
    encoder = EncoderUse("e", "w", "o")
    cell = Cell("s", "v", "v", "m", 1, {}, {}, image, style, 256, 0, encoder, "float32", "cpu")
    pixels = np.full((171, 256, 3), len(content), np.uint8)
    return Job(cell, pixels, np.zeros((256, 256, 3), np.uint8), **more)


@pytest.fixture
def sender(tmp_path: Path) -> Sender:
    return Sender(tmp_path)


def test_a_job_is_unpacked_unchanged(sender: Sender) -> None:
    sent = job(kept=(b"tensors", {"seconds": 1.5}), image=Path("image.png"))
    found = unpack(sender.pack(sent))
    assert np.array_equal(found.content, sent.content)
    assert np.array_equal(found.style, sent.style)
    assert (found.kept, found.image, found.cell.id) == (sent.kept, sent.image, sent.cell.id)


def test_the_style_at_its_own_size_is_sent_in_a_file(sender: Sender) -> None:
    sent = job()
    cell = replace(sent.cell, style_size=512)
    sent = replace(sent, cell=cell, own_style=np.ones((512, 512, 3), np.uint8))
    packed = sender.pack(sent)
    assert len(packed) < 32_000
    found = unpack(packed)
    assert np.array_equal(found.style_to_learn, np.ones((512, 512, 3), np.uint8))
    assert np.array_equal(found.style, sent.style)


def test_a_packed_job_fits_into_a_pipe(sender: Sender) -> None:
    large = job(kept=(b"t" * 10_000_000, {}))
    assert len(sender.pack(large)) < 32_000  # a pipe holds 64 kB and may hold another job


def test_jobs_with_the_same_image_share_one_file(sender: Sender, tmp_path: Path) -> None:
    packed = [sender.pack(job()) for _ in range(5)]
    assert len(list(tmp_path.iterdir())) == 2  # content and style
    found = [unpack(each) for each in packed]
    assert all(each.style is found[0].style for each in found)


def test_old_files_are_removed_and_those_of_waiting_jobs_are_kept(
    sender: Sender, tmp_path: Path
) -> None:
    packed = [sender.pack(job("c" * i)) for i in range(1, 100)]
    assert len(list(tmp_path.iterdir())) == ipc.MAX_FILES
    for number, each in list(enumerate(packed, 1))[-5:]:
        assert unpack(each).content[0, 0, 0] == number


def test_taking_outcomes_removes_their_file(tmp_path: Path) -> None:
    outcome = Outcome(Record(job().cell, "done"), pixels=np.ones((4, 5, 3), np.uint8))
    (found,) = take(write([outcome], tmp_path / "outcome"))
    assert found.pixels is not None
    assert found.pixels.shape == (4, 5, 3)
    assert not list(tmp_path.iterdir())


def test_a_plain_pickle_of_a_job_is_unpacked_too(sender: Sender) -> None:
    buffer = io.BytesIO()
    pickle.dump(job(), buffer)  # without files
    assert unpack(buffer.getvalue()).cell.id == job().cell.id
