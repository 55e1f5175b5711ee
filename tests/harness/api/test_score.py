"""`nstbench.score` equals the scores of a suite to the last digit, for every kind of image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import nstbench
from harness.errors import ImageError, NstbenchError
from harness.resources.images import skimage_photograph
from nstbench import METRICS, Results
from tests.harness.api.conftest import METRICS as NAMES


def inputs(results: Results, number: int) -> tuple[Any, Path, Path]:
    """Return the stylized image of a cell, and the original files of its content and style."""
    row = results.cells.iloc[number]
    files = (skimage_photograph(row[role]) for role in ("content", "style"))
    return results.image(number), *files


def test_scores_equal_those_of_the_suite_to_the_last_digit(ran: Results) -> None:
    """Content and style come from files of their full size, as in the suite."""
    for number, record in enumerate(ran._view.records):
        scores = nstbench.score(*inputs(ran, number), NAMES, encoder="random")
        assert list(scores) == NAMES
        for stored in record.scores:
            if stored.name == "gamut":
                assert scores["gamut"].why_missing.startswith("uint8 and files are clamped")
            else:
                assert scores[stored.name] == stored


def test_all_kinds_of_images_give_the_same_scores(ran: Results, tmp_path: Path) -> None:
    stylized, content, style = inputs(ran, 2)
    stylized.save(tmp_path / "stylized.png")
    array = np.asarray(stylized)
    kinds: list[tuple[Any, Any, Any]] = [
        (stylized, content, style),
        (array, np.asarray(Pillow.open(content)), np.asarray(Pillow.open(style).convert("RGB"))),
        (array / 255, str(content), style),
        ((array / 255).astype(np.float32), Pillow.open(content), Pillow.open(style)),
        (tmp_path / "stylized.png", content, style),
        (stylized.convert("RGBA"), content, style),
    ]
    found = [nstbench.score(*kind, ["ssim", "style_loss"], encoder="random") for kind in kinds]
    assert all(one == found[0] for one in found)


def test_floats_are_measured_before_they_are_clamped(ran: Results) -> None:
    stylized, content, style = inputs(ran, 0)
    floats = np.asarray(stylized) / 255
    floats[:10] = 1.5
    scores = nstbench.score(floats, content, style, ["gamut", "ssim"])
    assert scores["gamut"].value == pytest.approx(10 / len(floats))
    clamped = nstbench.score(floats.clip(0, 1), content, style, ["gamut", "ssim"])
    assert (clamped["gamut"].value, clamped["ssim"]) == (0, scores["ssim"])


def test_a_metric_has_parameters_as_in_a_suite(ran: Results) -> None:
    images = inputs(ran, 0)
    built = METRICS.build("lpips", {"net": "vgg"})
    scores = nstbench.score(*images, ["ssim", {"use": "lpips", "net": "squeeze"}, built])
    assert list(scores) == ["ssim", "lpips_squeeze", "lpips_vgg"]
    assert scores["lpips_vgg"].value is None
    assert "vgg16-397923af.pth cannot be fetched" in scores["lpips_vgg"].why_missing


def test_the_default_metrics_are_those_of_a_suite_and_a_replaced_encoder_warns(
    ran: Results,
) -> None:
    with pytest.warns(UserWarning, match="The encoder compact replaces VGG-19") as caught:
        scores = nstbench.score(*inputs(ran, 0))
    assert caught[0].filename == __file__
    assert list(scores) == NAMES
    assert scores["style_loss"].lens == "compact"


BIG, SMALL = np.zeros((64, 64, 3), np.uint8), np.zeros((8, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("none.png", "stylized: there is no file none.png."),
        (__file__, "cannot be read as an image"),
        (SMALL, "stylized has 64 x 8 pixels; the minimum is 16 x 16."),
        (Pillow.new("RGB", (8, 64)), "stylized has 8 x 64 pixels; the minimum is 16 x 16."),
        (BIG[:, :48], "stylized has 48 x 64 pixels, but the content has 64 x 64 at a long edge"),
        (BIG.astype(int), "stylized is numpy.ndarray, dtype int64. Pass uint8 from 0 to 255"),
        (BIG[..., 0], "stylized has shape (64, 64); (height, width, 3) is required."),
        (BIG.transpose(2, 0, 1), "Move the channels to the end: array.transpose(1, 2, 0)."),
        (BIG + 255.0, "stylized has values from 255 to 255; floats are in [0, 1]."),
        (BIG * np.nan, "stylized has values that are not finite"),
        (None, "stylized is NoneType, dtype object."),
    ],
)
def test_what_is_no_image_is_refused_with_what_is(image: Any, message: str) -> None:
    with pytest.raises(ImageError) as raised:
        nstbench.score(image, BIG, BIG, ["ssim"])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["sim"]}, "Did you mean 'ssim'?"),
        ({"metrics": "ssim"}, "metrics='ssim' is a text. Pass a list: ['ssim']."),
        ({"metrics": [{"use": "lpips", "trunk": 1}]}, "lpips has no parameter 'trunk'. It has"),
        ({"metrics": [{"use": "lpips", "net": "res"}]}, "lpips: net 'res' is not one of auto"),
        ({"encoder": "vgg"}, "'vgg' is not an encoder"),
        ({"weights": {"vgg19": "no.pth"}}, "--weights vgg19=no.pth: there is no such file."),
    ],
)  # fmt: skip
def test_other_mistakes_have_the_messages_of_a_suite(options: Any, message: str) -> None:
    with pytest.raises(NstbenchError) as raised:
        nstbench.score(BIG, BIG, BIG, **options)
    assert message in str(raised.value)


def test_an_animated_or_rotated_file_is_read_as_a_suite_reads_it(tmp_path: Path) -> None:
    wide = Pillow.effect_noise((64, 48), 80).convert("RGB")
    exif = Pillow.Exif()
    exif[0x0112] = 6  # a quarter turn
    wide.save(tmp_path / "turned.png", exif=exif)
    upright = wide.transpose(Pillow.Transpose.ROTATE_270)
    scores = nstbench.score(upright, tmp_path / "turned.png", wide, ["ssim"])
    assert scores["ssim"].value == pytest.approx(1)
