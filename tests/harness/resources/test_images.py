from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from harness.errors import ImageError
from harness.resources.downloads import Network
from harness.resources.image_folders import image_files
from harness.resources.images import (
    ImageSource,
    ImageStore,
    read,
    register_heif,
    resize,
    to_pixels,
    to_tensor,
)


def saved(tmp_path: Path, picture: Pillow.Image, name: str = "x.png", **more: Any) -> Path:
    picture.save(tmp_path / name, **more)
    return tmp_path / name


def test_pixels_survive_conversion_to_a_tensor_and_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 5, 7)
    assert tensor.max() <= 1
    assert np.array_equal(to_pixels(tensor), pixels)


def test_saved_pixels_are_clamped_and_rounded() -> None:
    image = torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1)
    assert to_pixels(image).tolist() == [[[0, 128, 255]]]  # 127.5 rounds to the even 128


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("RGBA", (0, 0, 0, 0), (255, 255, 255)),  # transparent: composited over white
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (0, 0), (255, 255, 255)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 257 * 100, (100, 100, 100)),  # 257 in 16 bits is 1 in 8 bits
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str, color: Any, expected: Any) -> None:
    path = saved(tmp_path, Pillow.new(mode, (16, 16), color))
    assert read(path).getpixel((1, 1)) == expected


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    picture = Pillow.new("RGB", (32, 16))
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = saved(tmp_path, picture, "x.jpg", exif=exif)
    assert read(path).size == (16, 32)


def test_a_palette_keeps_its_colours_and_its_transparency(tmp_path: Path) -> None:
    picture = Pillow.new("P", (16, 16), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    assert read(saved(tmp_path, picture)).getpixel((1, 1)) == (10, 20, 30)
    assert read(saved(tmp_path, picture, transparency=1)).getpixel((1, 1)) == (255, 255, 255)


def test_cmyk_is_converted_to_rgb(tmp_path: Path) -> None:
    for color, expected in (((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0))):
        path = saved(tmp_path, Pillow.new("CMYK", (16, 16), color), "x.tiff")
        assert read(path).getpixel((1, 1)) == expected


@pytest.mark.parametrize("name", ["x.webp", "x.tiff", "x.bmp", "x.jpg", "x.png"])
def test_every_usual_format_is_read(tmp_path: Path, name: str) -> None:
    pixels_read = read(saved(tmp_path, Pillow.new("RGB", (16, 20), (200, 100, 50)), name))
    assert pixels_read.size == (16, 20)
    assert np.abs(np.asarray(pixels_read, int) - (200, 100, 50)).max() <= 3  # JPEG and WebP round


def test_the_first_frame_of_an_animation_is_read(tmp_path: Path) -> None:
    frames = [Pillow.new("RGB", (16, 16), color) for color in ("red", "green", "blue")]
    path = saved(tmp_path, frames[0], "x.gif", save_all=True, append_images=frames[1:])
    assert read(path).getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 0.5, 1], 128), ([0, 127.5, 255], 128), ([0, 32767.5, 65535], 128)]
)
def test_floating_point_tiffs_keep_their_range(
    tmp_path: Path, values: list[float], expected: int
) -> None:
    rows = np.repeat(np.array(values, np.float32), 6)[None].repeat(18, 0)
    rows[0, 0] = np.nan  # some scanners write NaN
    pixels_read = np.asarray(read(saved(tmp_path, Pillow.fromarray(rows), "x.tiff")))
    assert pixels_read[5, 8].tolist() == [expected] * 3
    assert pixels_read[5, 17].tolist() == [255] * 3
    assert pixels_read[0, 0].tolist() == [0] * 3


def test_colours_with_a_profile_are_converted(tmp_path: Path) -> None:
    """A profile whose red and green primaries are exchanged shows red pixels as green."""
    from PIL import ImageCms

    srgb = bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    exchanged = srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    exchanged = exchanged.replace("sRGB".encode("utf-16-be"), "xRGB".encode("utf-16-be"))
    picture = Pillow.new("RGB", (16, 16), (255, 0, 0))
    pixels_read = read(saved(tmp_path, picture, icc_profile=exchanged)).getpixel((1, 1))
    assert np.abs(np.array(pixels_read) - (0, 255, 0)).max() <= 3  # 8 bits on the way through XYZ
    for no_change in (srgb, b"no profile at all"):
        assert read(saved(tmp_path, picture, icc_profile=no_change)).getpixel((1, 1)) == (255, 0, 0)


def test_broken_files_are_named(tmp_path: Path) -> None:
    noise = Pillow.effect_noise((64, 64), 50).convert("RGB")
    files = {"text.jpg": b"hello", "empty.png": b""}
    for name in ("cut.png", "cut.jpg", "cut.webp", "cut.tiff", "cut.gif"):
        complete = saved(tmp_path, noise, name).read_bytes()
        files[name] = complete[: len(complete) // 2]
        files[name.replace("cut", "head")] = complete[:20]
    complete = saved(tmp_path, noise, "corrupt.png").read_bytes()
    files["corrupt.png"] = complete[:200] + bytes(100) + complete[300:]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=rf"{name} cannot be read as an image"):
            read(tmp_path / name)


@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_the_error_of_a_heic_photograph_names_the_package_that_reads_it(
    tmp_path: Path, brand: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    register_heif.cache_clear()
    photograph = tmp_path / "IMG_0001.HEIC"
    photograph.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(ImageError, match=r"IMG_0001\.HEIC .* is HEIC") as error:
        read(photograph)
    assert "`pip install pillow-heif`" in str(error.value)
    assert "convert the image to PNG or JPEG" in str(error.value)


def test_heic_is_read_and_found_in_folders_if_pillow_heif_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package here registers an opener as pillow-heif does, for a format of its own."""
    package = """
from PIL import Image, ImageFile

class Heif(ImageFile.ImageFile):
    format = "HEIF"

    def _open(self):
        self._mode, self._size = "RGB", (16, 16)
        self.tile = [ImageFile._Tile("raw", (0, 0, 16, 16), 12, "RGB")]

def register_heif_opener():
    Image.register_open("HEIF", Heif, lambda head: head[4:12] == b"ftypheic")
    Image.register_extension("HEIF", ".heic")
"""
    (tmp_path / "pillow_heif.py").write_text(package)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pillow_heif", raising=False)
    for registry in ("OPEN", "EXTENSION"):
        monkeypatch.setattr(Pillow, registry, dict(getattr(Pillow, registry)))
    monkeypatch.setattr(Pillow, "ID", [*Pillow.ID])
    register_heif.cache_clear()
    photograph = tmp_path / "photos" / "IMG_0001.HEIC"
    photograph.parent.mkdir()
    photograph.write_bytes(b"\0\0\0\x18ftypheic" + bytes((10, 20, 30)) * 256)
    try:
        assert read(photograph).getpixel((5, 5)) == (10, 20, 30)
        assert image_files(photograph.parent) == [photograph]
    finally:
        sys.modules.pop("pillow_heif", None)
        register_heif.cache_clear()


def test_the_error_of_an_unknown_format_names_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "x.cr2").write_bytes(bytes(100))
    with pytest.raises(ImageError, match=r"not supported\. Convert it to PNG or JPEG"):
        read(tmp_path / "x.cr2")


def test_any_corruption_gives_an_image_or_an_image_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = Pillow.effect_noise((40, 40), 50).convert("RGB")
    for name in ("x.png", "x.jpg", "x.gif", "x.tiff", "x.webp", "x.bmp"):
        complete = saved(tmp_path, noise, name).read_bytes()
        for _ in range(60):
            content = bytearray(complete)
            for at in rng.integers(0, len(content), 5):
                content[at] = rng.integers(0, 256)
            (tmp_path / name).write_bytes(content)
            with contextlib.suppress(ImageError):  # any other exception is a bug
                assert read(tmp_path / name).mode == "RGB"


def png_of(width: int, height: int) -> bytes:
    """A black 1-bit PNG: 50 MB of zeros in 50 kB."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes((width // 8 + 1) * height), 1))
    return b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")


def test_a_huge_image_is_rejected_before_decoding(tmp_path: Path) -> None:
    import tracemalloc

    for size, message in (
        (20_000, "has more pixels than the maximum of 64,000,000"),
        (9000, "has 9000 x 9000 pixels"),
    ):
        (tmp_path / "bomb.png").write_bytes(png_of(size, size))
        tracemalloc.start()
        with pytest.raises(ImageError, match=f"bomb.png {message}"):
            read(tmp_path / "bomb.png")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
        tracemalloc.stop()


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 15)])
def test_an_image_that_is_too_narrow_is_rejected(tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=r"x\.png has \d+ x \d+ pixels; the minimum is 16 x 16"):
        read(saved(tmp_path, Pillow.new("RGB", size)))


@pytest.mark.parametrize(
    ("size", "expected"), [((1024, 640), (256, 160)), ((3, 2000), (1, 256)), ((1, 1), (256, 256))]
)
def test_resize_sets_the_long_edge(size: Any, expected: Any) -> None:
    assert resize(Pillow.new("RGB", size), 256).size == expected


def url_source(path: Path, **more: Any) -> ImageSource:
    from harness.resources.downloads import file_sha256

    return ImageSource("p", url="https://example.org/paint.png", sha256=file_sha256(path), **more)


def test_an_unavailable_painting_gets_a_stand_in_with_the_reason(tmp_path: Path) -> None:
    path = saved(tmp_path, Pillow.new("RGB", (32, 32)))
    images = ImageStore(Network(offline=True))
    found = images.find(url_source(path, stand_in="seated-nude"))
    assert found.stand_in == "seated-nude"
    assert "--offline" in found.why_stand_in
    assert found.sha256 != url_source(path).sha256  # so that they never share a record
    assert images.pixels(found, 64).shape == (48, 64, 3)


def test_a_read_only_cache_does_not_prevent_a_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NSTBENCH_CACHE", str(tmp_path / "file" / "cache"))
    path = saved(tmp_path, Pillow.new("RGB", (32, 32)))
    assert ImageStore(Network(offline=True)).find(url_source(path, stand_in="great-wave")).stand_in


def test_a_packaged_photograph_can_be_the_stand_in_of_a_content(tmp_path: Path) -> None:
    path = saved(tmp_path, Pillow.new("RGB", (32, 32)))
    found = ImageStore(Network(offline=True)).find(url_source(path, stand_in="coffee"))
    assert (found.stand_in, found.origin, found.width) == ("coffee", "scikit-image", 600)


def test_an_unavailable_image_without_stand_in_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path, Pillow.new("RGB", (32, 32)))
    with pytest.raises(ImageError, match="cannot be fetched"):
        ImageStore(Network(offline=True)).find(url_source(path))
