"""Metrics on pixels: known answers, other implementations, and invariances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from harness.metrics.lab_distance import wasserstein
from harness.metrics.ssim import luma
from harness.metrics.ssim_structure import structure
from harness.protocols import Unavailable
from tests.helpers.distortions import (
    Measure,
    add_noise,
    blend,
    brighten_every_fourth_pixel,
    quantize,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ssim", 1),
        ("ssim_structure", 1),
        ("edge_f1", 1),
        ("tv_ratio", 1),
        ("checkerboard_db", 0),
        ("checkerboard_rms", 0),
        ("gamut", 0),
        ("gram_distance", 0),  # the content is the style here too
        ("lab_distance", 0),
    ],
)
def test_an_image_compared_with_itself(
    name: str, value: float, measure: Measure, photographs: list[torch.Tensor]
) -> None:
    assert measure(name, photographs[0]) == pytest.approx(value, abs=1e-9)


def test_ssim_is_the_product_of_luminance_contrast_and_structure(
    photographs: list[torch.Tensor],
) -> None:
    """scikit-image computes the product for each pixel."""
    from scipy.ndimage import gaussian_filter
    from skimage.metrics import structural_similarity

    one, other = luma(blend(photographs[1], photographs[2])), luma(photographs[1])
    _, product = structural_similarity(
        one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=1.0, full=True,
    )  # fmt: skip
    means = [gaussian_filter(x, 1.5, radius=5) for x in (one, other)]
    squares = [gaussian_filter(x * x, 1.5, radius=5) for x in (one, other)]
    deviations = [np.sqrt(s - m * m) for s, m in zip(squares, means, strict=True)]

    def similarity(x: Any, y: Any, constant: float) -> Any:
        return (2 * x * y + constant) / (x * x + y * y + constant)

    luminance, contrast = similarity(*means, 0.01**2), similarity(*deviations, 0.03**2)
    expected = luminance * contrast * structure(one, other)
    assert np.abs(product - expected).max() < 1e-4


def test_a_loss_of_contrast_lowers_ssim_and_not_its_structure_term(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[1]
    faded = quantize(0.5 * image + 0.25)
    assert measure("ssim_structure", faded, image) > 0.95
    assert measure("ssim", faded, image) < 0.9


def test_lab_distance_equals_the_wasserstein_distance_of_scipy(
    photograph: Any, measure: Measure
) -> None:
    """For images of two sizes, and for 7 and 5, and 6 and 6 random numbers."""
    from scipy.stats import wasserstein_distance
    from skimage.color import rgb2lab

    content, style = photograph("coffee", 96), photograph("chelsea", 64)
    labs = [
        rgb2lab(x[0].permute(1, 2, 0).double().numpy()).reshape(-1, 3) for x in (content, style)
    ]
    expected = np.mean([wasserstein_distance(labs[0][:, i], labs[1][:, i]) for i in range(3)])
    assert measure("lab_distance", content, content, style) == pytest.approx(expected, abs=1e-4)
    rng = np.random.default_rng(0)
    for n, m in ((7, 5), (6, 6)):
        one, other = np.sort(rng.normal(size=(1, n))), np.sort(rng.normal(size=(1, m)))
        expected = wasserstein_distance(one[0], other[0])
        assert wasserstein(one, other) == pytest.approx(expected, abs=1e-12)


def test_lab_distance_ignores_the_positions_of_colours(measure: Measure, photograph: Any) -> None:
    style = photograph("chelsea", 64)
    assert measure("lab_distance", style.flip(-1), style, style) == 0
    black, grey = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.5)
    # sRGB 0.5 has L = 53.39, a = b = 0: the mean of three channels is a third of it.
    assert measure("lab_distance", black, black, grey) == pytest.approx(53.39 / 3, abs=0.01)


def test_total_variation_of_stripes(measure: Measure) -> None:
    """Steps of 1 between all columns, none between rows: 1 + 0, relative to 0.25 + 0."""
    stripes = (torch.arange(16) % 2).float().expand(1, 3, 16, 16)
    assert measure("tv_ratio", stripes, stripes / 4) == pytest.approx(4)
    with pytest.raises(Unavailable, match="flat"):
        measure("tv_ratio", stripes, torch.zeros_like(stripes))


def test_a_content_of_rounding_noise_has_no_roughness_to_compare_with(measure: Measure) -> None:
    """A white photograph from a JPEG file has a few values of 254."""
    rough = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with pytest.raises(Unavailable, match="flat, except for rounding"):
        measure("tv_ratio", rough, quantize(torch.full_like(rough, 0.9) + (rough > 0.9) / 255))


def test_the_noise_of_a_slope_is_the_added_noise(measure: Measure) -> None:
    """The median of the magnitudes of 129 x 129 details varies by 1.17 / 129 = 0.9 %."""
    slope = torch.linspace(0.2, 0.8, 256).expand(1, 3, 256, 256)
    grey = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    assert measure("noise_sigma", slope + 10 / 255 * grey) == pytest.approx(10, rel=0.03)
    assert measure("noise_sigma", torch.full((1, 3, 32, 32), 0.5)) == 0


def test_the_noise_equals_the_estimate_of_scikit_image(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    pytest.importorskip("pywt", reason="scikit-image's estimate needs PyWavelets")
    from skimage.restoration import estimate_sigma

    # In flat areas without noise, the estimate of scikit-image depends on rounding errors.
    noisy = [add_noise(photograph, 0.01) for photograph in photographs]
    for image in (photographs[1], *noisy, torch.rand(1, 3, 47, 52)):
        expected = estimate_sigma(255 * luma(image))
        assert measure("noise_sigma", image) == pytest.approx(expected, rel=1e-4)


def test_the_gamut_counts_pixels_not_channels(measure: Measure) -> None:
    image = torch.full((1, 3, 4, 5), 0.5)
    image[0, :, 0, 0] = torch.tensor([1.2, -0.1, 0.5])
    image[0, 2, 3, 4] = -0.01
    image[0, 0, 1, 1] = 1 + 1e-7  # rounding
    assert measure("gamut", image) == pytest.approx(2 / 20)


def test_edges_match_within_two_pixels(measure: Measure) -> None:
    def square(column: int) -> torch.Tensor:
        image = torch.full((1, 3, 64, 64), 0.2)
        image[..., 20:44, column : column + 24] = 0.8
        return image

    assert measure("edge_f1", square(22), square(20)) == 1
    assert measure("edge_f1", square(26), square(20)) < 0.8
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert measure("edge_f1", flat, square(20)) == 0
    with pytest.raises(Unavailable, match="no edges"):
        measure("edge_f1", square(20), flat)


def test_half_of_the_edges_have_an_f1_of_two_thirds(measure: Measure) -> None:
    """Precision 1 and recall 0.5: 2 * 1 * 0.5 / 1.5."""
    both = torch.full((1, 3, 64, 128), 0.2)
    both[..., 16:48, 16:48] = both[..., 16:48, 80:112] = 0.8
    one = both.clone()
    one[..., 64:] = 0.2
    assert measure("edge_f1", one, both) == pytest.approx(2 / 3)


@pytest.mark.parametrize("period", [3, 4, 8, 16, 32])
def test_the_texture_scale_of_a_grating_on_a_photograph_is_its_period(
    period: int, measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[2]
    grating = 0.05 * torch.sin(2 * math.pi * torch.arange(256) / period)
    assert measure("texture_scale", image + grating, image) == pytest.approx(period, rel=0.01)


def test_an_unchanged_image_has_no_texture_scale(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    with pytest.raises(Unavailable, match="differ in brightness at most"):
        measure("texture_scale", photographs[2])


@pytest.mark.parametrize(
    "name",
    ["ssim", "ssim_structure", "edge_f1", "tv_ratio", "noise_sigma", "texture_scale",
     "lab_distance", "checkerboard_db", "checkerboard_rms"],
)  # fmt: skip
def test_mirroring_and_cropping_change_little(
    name: str, measure: Measure, photographs: list[torch.Tensor]
) -> None:
    """Wavelets and windows are then aligned with other pixels, as after a shift."""
    content, style = photographs[1], photographs[2]
    stylized = brighten_every_fourth_pixel(blend(content, style), 0.1)
    whole = measure(name, stylized, content, style)
    mirrored = measure(name, *(image.flip(-1) for image in (stylized, content, style)))
    cropped = measure(name, *(image[..., 3:, 5:] for image in (stylized, content)), style)
    assert mirrored == pytest.approx(whole, rel=0.03)
    assert cropped == pytest.approx(whole, rel=0.05)
