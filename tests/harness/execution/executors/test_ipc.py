"""How jobs and outcomes go from process to process."""

from __future__ import annotations

import io
import pickle
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


def test_a_job_comes_out_as_it_went_in(sender: Sender) -> None:
    sent = job(kept=(b"tensors", {"seconds": 1.5}), image=Path("image.png"))
    found = unpack(sender.pack(sent))
    assert np.array_equal(found.content, sent.content)
    assert np.array_equal(found.style, sent.style)
    assert (found.kept, found.image, found.cell.id) == (sent.kept, sent.image, sent.cell.id)


def test_what_goes_by_pipe_fits_into_one(sender: Sender) -> None:
    large = job(kept=(b"t" * 10_000_000, {}))
    assert len(sender.pack(large)) < 32_000  # a pipe holds 64 kB, and another job may be in it


def test_an_image_is_sent_once_for_all_jobs_that_use_it(sender: Sender, tmp_path: Path) -> None:
    packed = [sender.pack(job()) for _ in range(5)]
    assert len(list(tmp_path.iterdir())) == 2  # content and style
    found = [unpack(each) for each in packed]
    assert all(each.style is found[0].style for each in found)


def test_files_do_not_pile_up_and_those_of_waiting_jobs_are_there(
    sender: Sender, tmp_path: Path
) -> None:
    packed = [sender.pack(job("c" * i)) for i in range(1, 100)]
    assert len(list(tmp_path.iterdir())) == ipc.MAX_FILES
    for number, each in list(enumerate(packed, 1))[-5:]:
        assert unpack(each).content[0, 0, 0] == number


def test_an_outcome_is_taken_once(tmp_path: Path) -> None:
    outcome = Outcome(Record(job().cell, "done"), pixels=np.ones((4, 5, 3), np.uint8))
    (found,) = take(write([outcome], tmp_path / "outcome"))
    assert found.pixels is not None
    assert found.pixels.shape == (4, 5, 3)
    assert not list(tmp_path.iterdir())


def test_only_what_a_sender_wrote_is_read_by_name(sender: Sender) -> None:
    stranger = io.BytesIO()
    pickle.dump(job(), stranger)  # whole, as another executor would send it
    assert unpack(stranger.getvalue()).cell.id == job().cell.id
