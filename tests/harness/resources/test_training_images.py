from __future__ import annotations

import hashlib
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


@pytest.fixture
def linked(folder: Path) -> Path:
    """Two class folders, one of them a link, and links that loop."""
    elsewhere = folder / "elsewhere"
    data = folder / "data"
    for place in (elsewhere, data / "real"):
        place.mkdir(parents=True)
    for level in (10, 20):
        (folder / f"{level}.png").rename(elsewhere / f"{level}.png")
    (folder / "30.png").rename(data / "real" / "30.png")
    (data / "class").symlink_to(elsewhere, target_is_directory=True)
    (data / "again").symlink_to(data / "real", target_is_directory=True)
    (data / "real" / "loop").symlink_to(data, target_is_directory=True)
    (elsewhere / "back").symlink_to(data, target_is_directory=True)
    return data


def test_linked_class_folders_are_followed_once_and_without_loops(linked: Path) -> None:
    names = [path.relative_to(linked).as_posix() for path in TrainingSet.find(linked).files]
    assert names == ["class/10.png", "class/20.png", "real/30.png"]


BAD = {
    "truncated.jpg": "cannot be read as an image: image file is truncated",
    "truncated.png": "cannot be read as an image: ",
    "empty.jpg": "is empty",
    "._10.png": "is metadata of macOS",
    "icon.png": "has 8 x 8 pixels; the minimum is 16 x 16",
    "page.jpg": "cannot be read as an image: its format is unknown or not supported",
    "paper.pdf": "has the format PDF, which cannot be used",
    "data.h5": "has the format HDF5, which cannot be used",
    "phone.HEIC": "has a format that Pillow cannot read; convert it to JPEG",
    "gone.jpg": "links to a file that does not exist",
}
"""Files that cannot be used, and the reason."""


@pytest.fixture
def spoilt(folder: Path) -> Path:
    """The folder with one file of every kind that cannot be used, and files that are no images."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    for name in ("truncated.jpg", "truncated.png"):
        Pillow.fromarray(noise).save(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) * 9 // 10])
    (folder / "empty.jpg").touch()
    (folder / "._10.png").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    Pillow.new("RGB", (8, 8)).save(folder / "icon.png")
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "paper.pdf").write_bytes(b"%PDF-1.4")
    (folder / "data.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (folder / "phone.HEIC").write_bytes(b"ftypheic")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    for name in ("README", ".DS_Store", "labels.csv"):
        (folder / name).write_text("no image")
    return folder


def test_unusable_files_are_left_out_with_their_reasons(spoilt: Path) -> None:
    found = TrainingSet.find(spoilt, 60)
    assert [path.name for path in found.files] == ["10.png", "20.png", "30.png", "40.png", "50.png"]
    assert found.left_out.keys() == BAD.keys()
    for name, reason in BAD.items():
        assert found.left_out[name].startswith(reason), name
        assert f"{name} ({reason}" in found.warning
        assert str(spoilt) not in found.left_out[name]
    assert "10 files in " in found.warning
    next(Crops(found.files, 32, 40).batches(16, torch.Generator().manual_seed(0)))


def test_removing_a_file_that_was_left_out_keeps_the_identity(spoilt: Path) -> None:
    before = TrainingSet.find(spoilt, 60)
    for name in BAD:
        (spoilt / name).unlink()
    after = TrainingSet.find(spoilt)
    assert (after.use, after.files) == (before.use, before.files)
    assert (after.left_out, after.warning) == ({}, "")


def test_the_identity_is_the_hash_of_the_sorted_hashes_of_the_files(folder: Path) -> None:
    digests = sorted(hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.iterdir())
    expected = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    assert TrainingSet.find(folder).use.sha256 == expected


def test_too_many_unusable_images_are_refused(spoilt: Path) -> None:
    what = r"7 of 12 images in .* \(58 %\) cannot be used, the maximum is 10 %: .*empty\.jpg \(is "
    with pytest.raises(SourceError, match=what):  # 7: without the PDF, the .h5 and the ._ file
        TrainingSet.find(spoilt)
    with pytest.raises(SourceError, match=r"raise training\.max_unusable_percent"):
        TrainingSet.find(spoilt, 58)
    assert TrainingSet.find(spoilt, 59).use.count == 5


def test_documents_and_metadata_of_macos_do_not_count_as_unusable_images(folder: Path) -> None:
    for number in range(30):
        (folder / f"._{number}.jpg").write_bytes(b"Mac OS X")
        (folder / f"{number}.pdf").write_bytes(b"%PDF")
    found = TrainingSet.find(folder, 0)
    assert found.use.count == 5
    assert "60 files in" in found.warning
    assert "and 50 more" in found.warning


def test_a_folder_without_any_usable_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(SourceError, match=r"contains no images\. Unusable: a\.jpg \(is empty\)"):
        TrainingSet.find(tmp_path, 100)


def test_photographs_are_decoded_once_until_they_change(
    spoilt: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.resources.hash_cache.SETTLED_SECONDS", -3600.0)
    first = TrainingSet.find(spoilt, 60)
    assert capsys.readouterr().err == "examining photographs: 13\n"
    assert TrainingSet.find(spoilt, 60) == first
    assert capsys.readouterr().err == ""
    Pillow.new("RGB", (40, 40)).save(spoilt / "empty.jpg")
    assert "empty.jpg" in [path.name for path in TrainingSet.find(spoilt, 60).files]
    assert capsys.readouterr().err == "examining photographs: 1\n"


def test_the_default_is_scikit_images_photographs() -> None:
    found = TrainingSet.find(None)
    assert found.use.count == len(found.files) >= 10


def test_a_missing_or_empty_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        TrainingSet.find(tmp_path / "none")
    with pytest.raises(SourceError, match="contains no images"):
        TrainingSet.find(tmp_path)
