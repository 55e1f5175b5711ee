"""Checkerboard patterns of known strength, and images without one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from harness.metrics._checkerboard import find_patterns
from harness.protocols import Unavailable
from tests.helpers.distortions import (
    Measure,
    add_checkerboard,
    add_noise,
    brighten_every_fourth_pixel,
)


@pytest.mark.parametrize(
    ("gain", "decibels"), [(0.01, 11.8), (0.02, 16.5), (0.05, 21.8), (0.1, 24.8), (0.2, 26.8)]
)
def test_a_gain_of_every_fourth_pixel_scores_as_on_other_photographs(
    gain: float, decibels: float, photographs: list[torch.Tensor]
) -> None:
    """The expected values are means over six other photographs, without subtracting the content's.

    The standard deviation between photographs is 4 dB, so that of the difference between a mean of
    five and a mean of six is 4 * sqrt(1/5 + 1/6) = 2.4 dB.
    """
    scores = [
        find_patterns(brighten_every_fourth_pixel(image, gain), image)[0][0].decibels
        for image in photographs
    ]
    assert np.mean(scores) == pytest.approx(decibels, abs=2.4)


def test_the_score_rises_with_the_strength_of_the_pattern_on_every_photograph(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    for image in photographs:
        gains = (0.01, 0.02, 0.05, 0.1, 0.2)
        distorted = [brighten_every_fourth_pixel(image, gain) for gain in gains]
        scores = [measure("checkerboard_db", stylized, image) for stylized in distorted]
        assert scores == sorted(scores)
        assert scores[0] > 3  # the smallest effect of interest


def test_noise_of_equal_roughness_is_not_a_pattern(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    """A gain of 0.1 and noise of 0.02 have equal total variation; their spectra differ by 20 dB."""

    def mean(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> float:
        return float(np.mean([measure(name, change(image), image) for image in photographs]))

    def pattern(image: torch.Tensor) -> torch.Tensor:
        return brighten_every_fourth_pixel(image, 0.1)

    def noise(image: torch.Tensor) -> torch.Tensor:
        return add_noise(image, 0.02)

    assert mean("tv_ratio", pattern) == pytest.approx(mean("tv_ratio", noise), rel=0.1)
    assert mean("checkerboard_db", pattern) - mean("checkerboard_db", noise) > 20
    for sigma in (0.02, 0.05, 0.1):
        assert abs(mean("checkerboard_db", lambda i, s=sigma: add_noise(i, s))) < 3  # type: ignore[misc]


@pytest.mark.parametrize("grey_levels", [1, 2, 4, 8])
def test_the_rms_of_an_added_checkerboard_is_its_amplitude(
    grey_levels: float, measure: Measure, photographs: list[torch.Tensor]
) -> None:
    """On a single photograph it interferes with the content at the same frequencies."""
    scores = [
        measure("checkerboard_rms", add_checkerboard(image, grey_levels), image)
        for image in photographs
    ]
    assert np.mean(scores) == pytest.approx(grey_levels, rel=0.05)
    assert scores == pytest.approx([grey_levels] * len(scores), rel=0.1)


def test_a_pattern_of_period_four_is_detected(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[2].clone()
    image[..., ::4, ::4] *= 1.1
    assert measure("checkerboard_db", image, photographs[2]) > 10


def test_resizing_removes_the_pattern_and_cropping_does_not(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[2]
    pair = brighten_every_fourth_pixel(image, 0.1), image
    whole = measure("checkerboard_db", *pair)
    smaller = [interpolate(i, size=(150, 224), mode="bilinear", antialias=True) for i in pair]
    assert measure("checkerboard_db", *smaller) < 3
    assert measure("checkerboard_db", *(i[..., 3:, 5:] for i in pair)) == pytest.approx(
        whole, abs=1
    )


@pytest.mark.parametrize("name", ["checkerboard_db", "checkerboard_rms"])
def test_images_below_64_pixels_have_no_score(name: str, measure: Measure) -> None:
    measure(name, torch.rand(1, 3, 64, 79))
    with pytest.raises(Unavailable, match="64 x 64"):
        measure(name, torch.rand(1, 3, 63, 128))


def test_a_pattern_on_a_flat_image_has_a_finite_score_and_a_flat_image_zero(
    measure: Measure,
) -> None:
    """A pure checkerboard is at one of three frequencies, with power 64 * 64 in nine bins.

    10 * log10(64 * 64 / 9 / 1e-4) / 3 = 22.2
    """
    flat = torch.full((1, 3, 64, 64), 0.5)
    pattern = add_checkerboard(flat, 1)
    assert measure("checkerboard_db", flat) == 0
    assert measure("checkerboard_db", pattern, flat) == pytest.approx(22.2, abs=0.1)
    assert measure("checkerboard_rms", pattern, flat) == pytest.approx(1, rel=0.01)
