from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from harness import images
from harness.downloads import Network
from harness.errors import ImageError
from harness.images import Gallery, ImageSource, read, resize, to_pixels, to_tensor


def saved(tmp_path: Path, picture: Pillow.Image, name: str = "x.png", **more: Any) -> Path:
    picture.save(tmp_path / name, **more)
    return tmp_path / name


def test_pixels_survive_the_way_to_a_tensor_and_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 5, 7)
    assert tensor.max() <= 1
    assert np.array_equal(to_pixels(tensor), pixels)


def test_what_is_saved_is_clamped_and_rounded() -> None:
    image = torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1)
    assert to_pixels(image).tolist() == [[[0, 128, 255]]]  # 127.5 rounds to the even 128


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),  # transparent: laid over white
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (0, 0), (255, 255, 255)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 257 * 100, (100, 100, 100)),  # 16 bits: 257 is one of 8
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, color: Any, expected: Any) -> None:
    path = saved(tmp_path, Pillow.new(mode, (4, 4), color))
    assert read(path).getpixel((1, 1)) == expected


def test_a_photograph_taken_upright_stands_upright(tmp_path: Path) -> None:
    picture = Pillow.new("RGB", (8, 4))
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = saved(tmp_path, picture, "x.jpg", exif=exif)
    assert read(path).size == (4, 8)


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = saved(tmp_path, Pillow.effect_noise((64, 64), 50), "whole.png").read_bytes()
    for name, content in (("text.jpg", b"hello"), ("empty.png", b""), ("cut.png", whole[:500])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name):
            read(tmp_path / name)


def test_a_huge_image_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match=r"has 20 x 20 pixels; at most 100 are read"):
        read(saved(tmp_path, Pillow.new("RGB", (20, 20))))


@pytest.mark.parametrize(
    ("size", "expected"), [((1024, 640), (256, 160)), ((3, 2000), (1, 256)), ((1, 1), (256, 256))]
)
def test_the_long_edge_is_the_size(size: Any, expected: Any) -> None:
    assert resize(Pillow.new("RGB", size), 256).size == expected


def url_source(path: Path, **more: Any) -> ImageSource:
    from harness.downloads import file_sha256

    return ImageSource("p", url="https://example.org/paint.png", sha256=file_sha256(path), **more)


def test_a_mirror_is_looked_at_first_and_checked(tmp_path: Path) -> None:
    path = saved(tmp_path, Pillow.new("RGB", (8, 8), "red"), "paint.png")
    source = url_source(path)
    found = Gallery(Network(offline=True), tmp_path).find(source)
    assert (found.sha256, found.stand_in) == (source.sha256, None)
    saved(tmp_path, Pillow.new("RGB", (8, 8), "blue"), "paint.png")
    with pytest.raises(ImageError, match=f"but {source.sha256} was asked for"):
        Gallery(Network(offline=True), tmp_path).find(source)


def test_a_painting_that_cannot_be_had_is_stood_in_for_and_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path, Pillow.new("RGB", (8, 8)))
    gallery = Gallery(Network(offline=True))
    found = gallery.find(url_source(path, stand_in="seated-nude"))
    assert found.stand_in == "seated-nude"
    assert "--offline" in found.why_stand_in
    assert found.sha256 != url_source(path).sha256  # so the two never share a record
    assert gallery.pixels(found, 64).shape == (48, 64, 3)


def test_without_a_stand_in_it_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path, Pillow.new("RGB", (8, 8)))
    with pytest.raises(ImageError, match="cannot be fetched"):
        Gallery(Network(offline=True)).find(url_source(path))
