from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from harness.errors import SourceError
from harness.resources.training_images import ZOOM, Crops, TrainingSet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photographs, each of one grey level: 10, 20, ... 50."""
    for level in range(10, 60, 10):
        Pillow.new("RGB", (60 + level, 80), (level,) * 3).save(tmp_path / f"{level}.png")
    return tmp_path


def test_crops_are_square_and_depend_on_the_generator(folder: Path) -> None:
    files = TrainingSet.find(folder).files
    crops = Crops(files, 32, 40)
    one, same, other = (
        next(crops.batches(4, torch.Generator().manual_seed(seed))) for seed in (0, 0, 1)
    )
    assert one.shape == (4, 3, 32, 32)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_crops_have_the_scale_of_the_suite_up_to_zoom_times_that(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(240, dtype=np.uint8)[None, :, None], (160, 1, 3))
    Pillow.fromarray(ramp).save(tmp_path / "ramp.png")
    crops = Crops([tmp_path / "ramp.png"], 32, 60)  # one pixel of the suite is four of the file
    batch = next(crops.batches(64, torch.Generator().manual_seed(0))) * 255
    slopes = (batch[:, 0, 16, 28] - batch[:, 0, 16, 4]).abs() / 24
    assert 4 / ZOOM - 0.1 < float(slopes.min()) < 2.5
    assert 3.6 < float(slopes.max()) < 4.1


@pytest.mark.parametrize("shape", [(20, 30), (33, 500), (31, 31)])
def test_photographs_that_are_too_small_are_enlarged(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    Pillow.new("RGB", shape, "red").save(tmp_path / "small.png")
    crops = Crops([tmp_path / "small.png"], 32, 60)
    batch = next(crops.batches(8, torch.Generator().manual_seed(0)))
    assert batch.shape == (8, 3, 32, 32)
    assert bool((batch[:, 0] == 1).all())


def test_every_photograph_is_used_equally_often(folder: Path) -> None:
    crops = Crops(TrainingSet.find(folder).files, 32, 40)
    batches = crops.batches(2, torch.Generator().manual_seed(0))
    levels = [round(float(crop.mean() * 255)) for _ in range(5) for crop in next(batches)]
    assert sorted(levels) == sorted([10, 20, 30, 40, 50] * 2)  # ten crops of five photographs


def test_a_training_set_is_identified_by_its_bytes(folder: Path) -> None:
    before = TrainingSet.find(folder).use
    (folder / "10.png").rename(folder / "z.png")  # another name, the same photographs
    assert TrainingSet.find(folder).use == before
    Pillow.new("RGB", (70, 80), "red").save(folder / "z.png")
    assert TrainingSet.find(folder).use.sha256 != before.sha256


def test_the_default_is_scikit_images_photographs() -> None:
    found = TrainingSet.find(None)
    assert found.use.count == len(found.files) >= 10


def test_a_missing_or_empty_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        TrainingSet.find(tmp_path / "none")
    with pytest.raises(SourceError, match="contains no images"):
        TrainingSet.find(tmp_path)
