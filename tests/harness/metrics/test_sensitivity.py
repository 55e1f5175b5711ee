"""Scores answer to doses of what they measure, to nothing else, and as other code does."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from harness import encoders
from harness.encoders.architectures import ARCHITECTURES, stages
from harness.execution.scoring import blank_score
from harness.metrics._checkerboard import find_patterns
from harness.metrics._gram import grams
from harness.metrics._held_out_encoder import MIN_EDGE
from harness.metrics._per_image_cache import cached_per_image
from harness.metrics.lab_distance import wasserstein
from harness.metrics.ssim import luma
from harness.metrics.ssim_structure import structure
from harness.protocols import Unavailable
from harness.registry import METRICS
from harness.resources.downloads import Network
from harness.resources.weights import WeightsStore

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left")

Measure = Callable[..., float]


@pytest.fixture(scope="module")
def shelf() -> WeightsStore:
    return WeightsStore(Network(offline=True), {})


@pytest.fixture
def measure(shelf: WeightsStore, context: Any) -> Measure:
    """Take a score by its name; what is not given is the content."""
    judge = encoders.find("random", shelf)[0]

    def take(
        name: str, stylized: Any, content: Any = None, style: Any = None, **params: Any
    ) -> float:
        metric = METRICS.build(name, params)
        equipped = metric.resolve(judge, shelf)
        content = stylized if content is None else content
        score: float = equipped(stylized, content, content if style is None else style, context())
        return score

    return take


@pytest.fixture(scope="module")
def photographs(photograph: Any) -> list[torch.Tensor]:
    return [photograph(name, 256) for name in PHOTOGRAPHS]


def gained(image: torch.Tensor, gain: float) -> torch.Tensor:
    """One pixel of every 2 x 2 is too bright, as an uneven transposed convolution leaves it."""
    image = image.clone()
    image[..., ::2, ::2] *= 1 + gain
    return image


def checkered(image: torch.Tensor, grey_levels: float) -> torch.Tensor:
    row, column = (torch.arange(edge) for edge in image.shape[-2:])
    return image + grey_levels / 255 * (1.0 - 2 * ((row[:, None] + column) % 2))


def noisy(image: torch.Tensor, sigma: float, seed: int = 0) -> torch.Tensor:
    return image + sigma * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def saved(image: torch.Tensor) -> torch.Tensor:
    return (image.clamp(0, 1) * 255).round() / 255


def mixed(photographs: list[torch.Tensor]) -> torch.Tensor:
    """The cat, with the coffee shining through: no method is needed to score it."""
    cat, coffee = photographs[1], photographs[2]
    return saved(0.6 * cat + 0.4 * interpolate(coffee, cat.shape[-2:], mode="bilinear"))


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


def test_content_and_style_fix_the_scale_of_the_content_distance(
    measure: Measure, photograph: Any
) -> None:
    content, style = photograph("coffee", 64), photograph("chelsea", 64)
    shown = interpolate(style, content.shape[-2:], mode="bilinear", antialias=True)
    assert measure("content_distance", content, content, style) == 0
    assert measure("content_distance", shown, content, style) == pytest.approx(1)


# --- The checkerboard


@pytest.mark.parametrize(
    ("gain", "decibels"), [(0.01, 11.8), (0.02, 16.5), (0.05, 21.8), (0.1, 24.8), (0.2, 26.8)]
)
def test_a_gain_on_one_phase_of_four_reads_as_it_did_on_other_photographs(
    gain: float, decibels: float, photographs: list[torch.Tensor]
) -> None:
    """The doses were first given to six photographs, and read without taking their own off.

    Photographs differ by 4 dB (standard deviation), so a mean of five and one of six do by
    4 * sqrt(1/5 + 1/6) = 2.4.
    """
    read = [find_patterns(gained(image, gain), image)[0][0].decibels for image in photographs]
    assert np.mean(read) == pytest.approx(decibels, abs=2.4)


def test_a_stronger_lattice_stands_out_more_on_every_photograph(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    for image in photographs:
        doses = [gained(image, gain) for gain in (0.01, 0.02, 0.05, 0.1, 0.2)]
        read = [measure("checkerboard_db", dose, image) for dose in doses]
        assert read == sorted(read)
        assert read[0] > 3  # the smallest that matters


def test_noise_is_no_lattice_though_it_is_as_rough(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    """Total variation cannot tell a gain of 0.1 from noise of 0.02; the spectrum tells 20 dB."""

    def mean(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> float:
        return float(np.mean([measure(name, change(image), image) for image in photographs]))

    lattice, noise = (lambda image: gained(image, 0.1)), (lambda image: noisy(image, 0.02))
    assert mean("tv_ratio", lattice) == pytest.approx(mean("tv_ratio", noise), rel=0.1)
    assert mean("checkerboard_db", lattice) - mean("checkerboard_db", noise) > 20
    for sigma in (0.02, 0.05, 0.1):
        assert abs(mean("checkerboard_db", lambda i, s=sigma: noisy(i, s))) < 3  # type: ignore[misc]


@pytest.mark.parametrize("grey_levels", [1, 2, 4, 8])
def test_an_injected_checkerboard_reads_its_amplitude(
    grey_levels: float, measure: Measure, photographs: list[torch.Tensor]
) -> None:
    """On a single photograph it adds to what is there at the same frequencies, or cancels some."""
    read = [
        measure("checkerboard_rms", checkered(image, grey_levels), image) for image in photographs
    ]
    assert np.mean(read) == pytest.approx(grey_levels, rel=0.05)
    assert read == pytest.approx([grey_levels] * len(read), rel=0.1)


def test_a_lattice_of_period_four_is_seen_as_well(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[2].clone()
    image[..., ::4, ::4] *= 1.1
    assert measure("checkerboard_db", image, photographs[2]) > 10


def test_resizing_erases_the_lattice_and_cropping_does_not(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[2]
    both = gained(image, 0.1), image
    whole = measure("checkerboard_db", *both)
    smaller = [interpolate(i, size=(150, 224), mode="bilinear", antialias=True) for i in both]
    assert measure("checkerboard_db", *smaller) < 3
    assert measure("checkerboard_db", *(i[..., 3:, 5:] for i in both)) == pytest.approx(
        whole, abs=1
    )


@pytest.mark.parametrize("name", ["checkerboard_db", "checkerboard_rms"])
def test_the_lattice_needs_room_around_its_points(name: str, measure: Measure) -> None:
    measure(name, torch.rand(1, 3, 64, 79))
    with pytest.raises(Unavailable, match="64 x 64"):
        measure(name, torch.rand(1, 3, 63, 128))


def test_on_a_flat_image_a_lattice_is_finite_and_its_absence_zero(measure: Measure) -> None:
    """A pure checkerboard is at one of three points, of power 64 * 64 in nine bins.

    10 * log10(64 * 64 / 9 / 1e-4) / 3 = 22.2
    """
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert measure("checkerboard_db", flat) == 0
    assert measure("checkerboard_db", checkered(flat, 1), flat) == pytest.approx(22.2, abs=0.1)
    assert measure("checkerboard_rms", checkered(flat, 1), flat) == pytest.approx(1, rel=0.01)


# --- Pixels


def test_structure_is_what_luminance_and_contrast_leave_of_ssim(
    photographs: list[torch.Tensor],
) -> None:
    """The whole is the product of the three; scikit-image gives the whole, pixel by pixel."""
    from scipy.ndimage import gaussian_filter
    from skimage.metrics import structural_similarity

    one, other = luma(mixed(photographs)), luma(photographs[1])
    _, whole = structural_similarity(
        one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=1.0, full=True,
    )  # fmt: skip
    means = [gaussian_filter(x, 1.5, radius=5) for x in (one, other)]
    squares = [gaussian_filter(x * x, 1.5, radius=5) for x in (one, other)]
    deviations = [np.sqrt(s - m * m) for s, m in zip(squares, means, strict=True)]

    def likeness(x: Any, y: Any, constant: float) -> Any:
        return (2 * x * y + constant) / (x * x + y * y + constant)

    expected = likeness(*means, 0.01**2) * likeness(*deviations, 0.03**2) * structure(one, other)
    assert np.abs(whole - expected).max() < 1e-4


def test_structure_forgives_a_loss_of_contrast_that_ssim_does_not(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[1]
    faded = saved(0.5 * image + 0.25)
    assert measure("ssim_structure", faded, image) > 0.95
    assert measure("ssim", faded, image) < 0.9


def test_the_distance_of_palettes_is_scipys(photograph: Any, measure: Measure) -> None:
    """Of images of two sizes, and of random numbers, 7 against 5 and 6 against 6."""
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


def test_palettes_forget_where_colours_are(measure: Measure, photograph: Any) -> None:
    style = photograph("chelsea", 64)
    assert measure("lab_distance", style.flip(-1), style, style) == 0
    black, grey = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.5)
    # sRGB 0.5 has L = 53.39, a = b = 0: the mean of three channels is a third of it.
    assert measure("lab_distance", black, black, grey) == pytest.approx(53.39 / 3, abs=0.01)


def test_total_variation_of_stripes(measure: Measure) -> None:
    """Steps of 1 between all columns, none between rows: 1 + 0, against 0.25 + 0."""
    stripes = (torch.arange(16) % 2).float().expand(1, 3, 16, 16)
    assert measure("tv_ratio", stripes, stripes / 4) == pytest.approx(4)
    with pytest.raises(Unavailable, match="flat"):
        measure("tv_ratio", stripes, torch.zeros_like(stripes))


def test_the_noise_of_a_slope_is_what_was_added(measure: Measure) -> None:
    """Of 129 x 129 details, the median of magnitudes varies by 1.17 / 129 = 0.9 %."""
    slope = torch.linspace(0.2, 0.8, 256).expand(1, 3, 256, 256)
    grey = torch.randn(1, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    assert measure("noise_sigma", slope + 10 / 255 * grey) == pytest.approx(10, rel=0.03)
    assert measure("noise_sigma", torch.full((1, 3, 32, 32), 0.5)) == 0


def test_the_noise_is_scikit_images_estimate(
    measure: Measure, photographs: list[torch.Tensor]
) -> None:
    # A little noise, since whether flat areas count is left to rounding there.
    pytest.importorskip("pywt", reason="scikit-image's estimate needs PyWavelets")
    from skimage.restoration import estimate_sigma

    for image in (photographs[1], *(noisy(p, 0.01) for p in photographs), torch.rand(1, 3, 47, 52)):
        expected = estimate_sigma(255 * luma(image))
        assert measure("noise_sigma", image) == pytest.approx(expected, rel=1e-4)


def test_the_gamut_counts_pixels_not_channels(measure: Measure) -> None:
    image = torch.full((1, 3, 4, 5), 0.5)
    image[0, :, 0, 0] = torch.tensor([1.2, -0.1, 0.5])
    image[0, 2, 3, 4] = -0.01
    image[0, 0, 1, 1] = 1 + 1e-7  # rounding
    assert measure("gamut", image) == pytest.approx(2 / 20)


def test_edges_may_move_by_two_pixels_and_no_farther(measure: Measure) -> None:
    def disc(column: int) -> torch.Tensor:
        image = torch.full((1, 3, 64, 64), 0.2)
        image[..., 20:44, column : column + 24] = 0.8
        return image

    assert measure("edge_f1", disc(22), disc(20)) == 1
    assert measure("edge_f1", disc(26), disc(20)) < 0.8
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert measure("edge_f1", flat, disc(20)) == 0
    with pytest.raises(Unavailable, match="no edges"):
        measure("edge_f1", disc(20), flat)


def test_half_of_the_edges_make_an_f1_of_two_thirds(measure: Measure) -> None:
    """All that is found is right, half of what is wanted is found: 2 * 1 * 0.5 / 1.5."""
    both = torch.full((1, 3, 64, 128), 0.2)
    both[..., 16:48, 16:48] = both[..., 16:48, 80:112] = 0.8
    one = both.clone()
    one[..., 64:] = 0.2
    assert measure("edge_f1", one, both) == pytest.approx(2 / 3)


@pytest.mark.parametrize("period", [3, 4, 8, 16, 32])
def test_a_grating_on_a_photograph_reads_its_period(
    period: int, measure: Measure, photographs: list[torch.Tensor]
) -> None:
    image = photographs[2]
    grating = 0.05 * torch.sin(2 * math.pi * torch.arange(256) / period)
    assert measure("texture_scale", image + grating, image) == pytest.approx(period, rel=0.01)


def test_where_nothing_changed_there_is_no_scale(
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
    """Wavelets and windows meet other pixels then, but no others than a shift would bring."""
    content, style = photographs[1], photographs[2]
    stylized = gained(mixed(photographs), 0.1)
    whole = measure(name, stylized, content, style)
    mirrored = measure(name, *(image.flip(-1) for image in (stylized, content, style)))
    cropped = measure(name, *(image[..., 3:, 5:] for image in (stylized, content)), style)
    assert mirrored == pytest.approx(whole, rel=0.03)
    assert cropped == pytest.approx(whole, rel=0.05)


# --- The held-out network


def test_gram_distance_is_that_of_plain_loops(
    measure: Measure, photograph: Any, random_encoder: Any
) -> None:
    """Looked at here through the suite's own network, of which a few channels serve."""
    image = photograph("coffee", 32)
    (found,) = grams(image, random_encoder, ("relu2_1",))
    features = random_encoder(image, ["relu2_1"])["relu2_1"][0].double().numpy()
    places = [(y, x) for y in range(features.shape[1]) for x in range(features.shape[2])]
    for i, j in ((0, 0), (0, 3), (7, 2)):
        products = [features[i, y, x] * features[j, y, x] for y, x in places]
        expected = sum(products) / len(products)
        assert float(found[0, i, j]) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_gram_distance_is_relative_to_both_and_at_most_one(
    measure: Measure, photograph: Any
) -> None:
    from harness.metrics.gram_distance import distance

    one, other = torch.tensor([[3.0, 0], [0, 0]]), torch.tensor([[1.0, 0], [0, 0]])
    assert distance(one, other) == pytest.approx((3 - 1) ** 2 / (3**2 + 1**2))
    assert distance(one, torch.tensor([[0.0, 0], [0, 5]])) == 1
    content, style = photograph("coffee", 64), photograph("chelsea", 80)  # of two sizes
    assert 0 < measure("gram_distance", content, content, style) < 1


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file shaped like torchvision's squeezenet1_1, with random numbers."""
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("judge") / "squeezenet.safetensors"
    save_file(torchvision.models.squeezenet1_1(weights=None).state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["gram_distance", "content_distance"])
def test_the_judge_is_never_what_was_optimised_as_long_as_there_is_another(
    name: str, squeezenet: Path, shelf: WeightsStore
) -> None:
    metric = METRICS.build(name, {})
    found = WeightsStore(Network(offline=True), {"squeezenet1_1": squeezenet})
    compact = encoders.find("compact", shelf)[0]
    random = encoders.find("random:3", shelf)[0]
    own = encoders.find("squeezenet1_1", found)[0]

    held_out = metric.resolve(compact, found)
    assert (held_out.lens, held_out.lens_sha256) == ("squeezenet1_1", own.sha256)
    other_seed = metric.resolve(random, found)
    assert other_seed.lens == "random:4"
    assert other_seed.lens_sha256 != random.sha256
    circular = metric.resolve(own, found)  # there is no second one
    assert circular.lens == "encoder"
    assert blank_score(circular, own).lens == "squeezenet1_1"


def test_a_judge_that_was_named_is_taken_or_said_to_be_missing(
    shelf: WeightsStore, context: Any, measure: Measure, photograph: Any
) -> None:
    compact = encoders.find("compact", shelf)[0]
    metric = METRICS.build("gram_distance", {"judge": "alexnet"}).resolve(compact, shelf)
    assert metric.lens == "alexnet"
    assert "alexnet" in blank_score(metric, compact).why_missing
    image, style = photograph("coffee", 64), photograph("chelsea", 64)
    with pytest.raises(Unavailable, match="alexnet"):
        metric(image, image, style, context())
    seven, eight = (
        measure("gram_distance", image, image, style, judge=f"random:{s}") for s in "78"
    )
    assert seven != eight


def test_too_small_an_image_is_no_failure_of_the_cell(
    squeezenet: Path, shelf: WeightsStore, context: Any
) -> None:
    found = WeightsStore(Network(offline=True), {"squeezenet1_1": squeezenet})
    metric = METRICS.build("gram_distance", {}).resolve(encoders.find("compact", shelf)[0], found)
    image = torch.rand(1, 3, 16, 64)
    with pytest.raises(Unavailable, match="17 x 17"):
        metric(image, image, image, context())


@pytest.mark.parametrize("name", MIN_EDGE)
def test_the_least_edge_is_where_torch_itself_gives_up(name: str) -> None:
    """On the meta device shapes are worked out and nothing else is."""

    def look(edge: int) -> None:
        network = ARCHITECTURES[name].build().eval()
        style, content = encoders.STYLE_LAYERS[name], encoders.CONTENT_LAYERS[name]
        wanted = {*style, content[0]}
        features = torch.empty(1, 3, edge, 128, device="meta")
        for layer, _, module in stages(name, network):
            features = module(features)
            wanted.discard(layer)
            if not wanted:
                return

    look(MIN_EDGE[name])
    with pytest.raises(RuntimeError):
        look(MIN_EDGE[name] - 1)


# --- What is remembered


def test_an_image_is_known_again_by_its_pixels_alone() -> None:
    seen = []

    @cached_per_image
    def brightness(image: torch.Tensor, weight: float) -> float:
        seen.append(image)
        return weight * float(image.mean())

    image = torch.full((1, 3, 4, 4), 0.5)
    assert brightness(image, 2.0) == brightness(image.clone(), 2.0) == 1
    assert len(seen) == 1
    image[0, 0, 0, 0] = 1  # the same tensor, another image
    assert brightness(image, 2.0) > 1
    assert brightness(image, 1.0) < 1
    assert brightness(torch.full((1, 3, 2, 8), 0.5), 2.0) == 1  # the same bytes, another shape
    assert len(seen) == 4
