from itertools import combinations

import numpy as np
import pytest

from harness.errors import UnknownNameError
from harness.resources.stand_ins import STUDIES, paint

SIDE = 96  # smaller studies take the same 0.2 s, since the number of strokes is constant
QUICK = "composition-vii", "woman-with-a-hat"  # for properties that do not depend on the study

each_study = pytest.mark.parametrize("name", STUDIES)
quick_studies = pytest.mark.parametrize("name", QUICK)


@pytest.fixture(scope="module")
def pictures():
    return {name: paint(name, SIDE, SIDE) for name in STUDIES}


def ninths(picture, reduce):
    """Return `reduce` of each field of a grid of 3 x 3."""
    return reduce(picture.reshape(3, SIDE // 3, 3, SIDE // 3), axis=(1, 3))


def test_there_is_a_study_for_each_painting_of_the_suites():
    expected = "starry-night wheat-field water-lilies seated-nude the-scream shipwreck"
    expected += " composition-vii great-wave woman-with-a-hat"
    assert set(expected.split()) <= set(STUDIES)


@quick_studies
def test_same_arguments_give_same_pixels(name, pictures):
    np.testing.assert_array_equal(pictures[name], paint(name, SIDE, SIDE))


@quick_studies
def test_another_seed_gives_another_picture(name, pictures):
    apart = np.abs(pictures[name].astype(int) - paint(name, SIDE, SIDE, seed=1)).mean()
    # Another weave alone (4 % of a mid grey of 128) changes 2 / sqrt(pi) * 0.04 * 128 = 5.8 levels;
    # other strokes change 49 and 67 levels in these two studies.
    assert apart > 20


@pytest.mark.parametrize(("width", "height"), [(67, 101), (131, 65)])
def test_a_picture_has_the_requested_size_in_writeable_uint8(width, height):
    picture = paint(QUICK[0], width, height)
    assert (height, width, 3) == picture.shape
    assert np.uint8 == picture.dtype
    assert picture.flags.c_contiguous
    assert picture.flags.writeable  # torch.from_numpy warns of arrays that are not


@quick_studies
def test_a_study_has_the_same_strokes_at_every_size(name, pictures):
    half = SIDE // 2
    halved = pictures[name].reshape(half, 2, half, 2, 3).mean((1, 3))  # 2 x 2 pixels to one
    correlation = np.corrcoef(halved.ravel(), paint(name, half, half).ravel())[0, 1]
    # The correlation is 0.90 and 0.97, because half the pixels lose the finest strokes; that of two
    # seeds is 0.07 and 0.42.
    assert correlation > 0.8


@each_study
def test_no_ninth_of_a_study_is_flat(name, pictures):
    # A ramp over 35 of 255 levels has standard deviation 35 / sqrt(12) = 10.1.
    assert ninths(pictures[name].mean(-1), np.std).min() > 10


@each_study
def test_every_ninth_of_a_study_has_fine_texture(name, pictures):
    grey = pictures[name].mean(-1)
    steps = ninths(np.abs(np.diff(grey, axis=0, append=grey[-1:])), np.mean)
    # A ramp over 100 levels down the ninth has steps of 100 / 32 = 3.1; noise of standard
    # deviation 3 has steps of 3 * 2 / sqrt(pi) = 3.4. Strokes must exceed both.
    assert steps.min() > 3.5


def test_palettes_are_pairwise_distinct(pictures):
    def palette(picture):  # shares of 4 x 4 x 4 coarse colours
        coarse = picture.reshape(-1, 3) // 64
        return np.bincount(coarse @ [16, 4, 1], minlength=64) / len(coarse)

    palettes = {name: palette(picture) for name, picture in pictures.items()}
    apart = {  # half the sum of |differences|: 0 for equal palettes, 1 for disjoint ones
        (one, two): np.abs(palettes[one] - palettes[two]).sum() / 2
        for one, two in combinations(palettes, 2)
    }
    closest = min(apart, key=apart.__getitem__)
    assert apart[closest] > 0.4, closest


def test_unknown_study_lists_the_names_and_suggests_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"great-wave, seated-nude.*Did you mean 'the-scream'"
    ):
        paint("the-screem", 64, 64)
