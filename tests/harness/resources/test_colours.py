"""Images of every mode, with and without a profile: their colours by the profile's formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from harness.resources.images import read
from tests.helpers.icc_profiles import DISPLAY_P3, Profile

COLOURS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16)

LINEAR, P3, GREY = Profile(1.0), Profile(2.2, DISPLAY_P3), Profile(1.0, None)


def read_back(tmp_path: Path, picture: Pillow.Image, name: str = "x.png", **more: Any) -> Any:
    picture.save(tmp_path / name, **more)
    return np.asarray(read(tmp_path / name), int)


def assert_close(levels: Any, expected: Any, tolerance: float = 2) -> None:
    """Two grey levels: rounding in the profile and on the way to sRGB."""
    assert np.abs(levels - expected).max() <= tolerance


@pytest.mark.parametrize("name", ["x.png", "x.tiff", "x.webp"])
def test_colours_are_those_of_the_formula_of_the_profile(tmp_path: Path, name: str) -> None:
    lossless = {"lossless": True} if name == "x.webp" else {}
    levels = read_back(
        tmp_path, Pillow.fromarray(COLOURS), name, icc_profile=P3.tobytes(), **lossless
    )
    assert_close(levels, P3.srgb(COLOURS / 255))


@pytest.mark.parametrize("name", ["linear", "linear sRGB", "sRGB IEC61966-2.1", ""])
def test_the_name_of_a_profile_does_not_decide(tmp_path: Path, name: str) -> None:
    profile = Profile(1.0, name=name)
    levels = read_back(tmp_path, Pillow.fromarray(COLOURS), icc_profile=profile.tobytes())
    assert_close(levels, profile.srgb(COLOURS / 255))


def test_an_srgb_profile_of_any_name_changes_no_pixel(tmp_path: Path) -> None:
    from PIL import ImageCms

    srgb = bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    renamed = srgb.replace("sRGB".encode("utf-16-be"), "test".encode("utf-16-be"))
    assert renamed != srgb
    for profile in (srgb, renamed):
        levels = read_back(tmp_path, Pillow.fromarray(COLOURS), icc_profile=profile)
        assert np.array_equal(levels, COLOURS)


@pytest.mark.parametrize("profile", [P3, LINEAR], ids=["P3", "linear"])
def test_a_palette_is_converted_by_its_profile(tmp_path: Path, profile: Profile) -> None:
    picture = Pillow.fromarray(GREYS).convert("L")
    picture.putpalette(COLOURS.tobytes())
    levels = read_back(tmp_path, picture, icc_profile=profile.tobytes())
    assert_close(levels, profile.srgb(COLOURS.reshape(-1, 3)[GREYS] / 255))


@pytest.mark.parametrize("profile", [GREY, Profile(1.8, None), LINEAR, Profile(1.8)], ids=repr)
def test_grey_levels_are_converted_by_a_grey_profile_or_an_rgb_profile(
    tmp_path: Path, profile: Profile
) -> None:
    expected = profile.srgb(np.repeat(GREYS[..., None], 3, -1) / 255)
    picture = Pillow.fromarray(GREYS)
    assert_close(read_back(tmp_path, picture, icc_profile=profile.tobytes()), expected)
    alpha = Pillow.merge("LA", (picture, Pillow.new("L", picture.size, 255)))
    assert_close(read_back(tmp_path, alpha, icc_profile=profile.tobytes()), expected)


@pytest.mark.parametrize("profile", [GREY, LINEAR], ids=["grey", "RGB"])
@pytest.mark.parametrize(("name", "dtype"), [("x.png", np.uint16), ("x.tiff", np.uint16),
                                             ("x.tiff", np.float32)])  # fmt: skip
def test_deep_grey_levels_are_converted_by_their_profile(
    tmp_path: Path, name: str, dtype: Any, profile: Profile
) -> None:
    white = 1 if dtype is np.float32 else 65535
    values = np.linspace(0, white, 256).reshape(16, 16).astype(dtype)
    levels = read_back(tmp_path, Pillow.fromarray(values), name, icc_profile=profile.tobytes())
    expected = profile.srgb(np.repeat(values[..., None], 3, -1) / white)
    assert_close(levels, expected)


def test_a_deep_linear_image_keeps_its_dark_levels_apart(tmp_path: Path) -> None:
    """One of 256 linear levels is 13 levels of sRGB."""
    values = np.linspace(0, 257, 256).reshape(16, 16).astype(np.uint16)
    levels = read_back(tmp_path, Pillow.fromarray(values), icc_profile=GREY.tobytes())
    assert len(np.unique(levels)) >= 12


def test_transparent_pixels_are_white_whatever_the_profile(tmp_path: Path) -> None:
    alpha = np.where(GREYS < 128, 0, 255).astype(np.uint8)
    expected = np.where(alpha[..., None] == 0, 255, P3.srgb(COLOURS / 255))
    picture = Pillow.fromarray(np.dstack((COLOURS, alpha)))
    assert_close(read_back(tmp_path, picture, icc_profile=P3.tobytes()), expected)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_colour_is_that_before_the_conversion(tmp_path: Path, mode: str) -> None:
    color, key = ((10, 20, 30), (10, 20, 30)) if mode == "RGB" else (10, 10)
    picture = Pillow.new(mode, (16, 16), color)
    profile = LINEAR if mode == "RGB" else GREY
    levels = read_back(tmp_path, picture, transparency=key, icc_profile=profile.tobytes())
    assert (levels == 255).all()


@pytest.mark.parametrize(
    ("lab", "srgb"),
    [
        ((138, 209, 198), (255, 0, 0)),
        ((128, 128, 128), (119, 119, 119)),
        ((255, 128, 128), (255,) * 3),
    ],
    ids=["red", "grey", "white"],
)
def test_cielab_is_converted_to_srgb(tmp_path: Path, lab: Any, srgb: Any) -> None:
    """L = 54, a = 81, b = 70 is red of sRGB in D50; L = 50 reflects 18.4 % of the light."""
    levels = read_back(tmp_path, Pillow.new("LAB", (16, 16), lab), "x.tiff")
    assert_close(levels[0, 0], srgb, tolerance=6 if srgb == (255, 0, 0) else 1)


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("brightest", [1.02, 5, 300])
def test_highlights_beyond_white_are_clipped_and_do_not_darken_the_image(
    tmp_path: Path, white: float, brightest: float
) -> None:
    values = (GREYS / 255 * white).astype(np.float32)
    values[0, :3] = brightest * white, -0.1 * white, np.inf
    levels = read_back(tmp_path, Pillow.fromarray(values), "x.tiff")
    expected = GREYS.astype(int)
    expected[0, :3] = 255, 0, 255
    assert_close(levels, expected[..., None], tolerance=0)


def test_a_profile_of_another_colour_space_is_ignored(tmp_path: Path) -> None:
    for profile in (GREY.tobytes(), b"no profile", P3.tobytes()[:300]):
        levels = read_back(tmp_path, Pillow.fromarray(COLOURS), icc_profile=profile)
        assert np.array_equal(levels, COLOURS)
