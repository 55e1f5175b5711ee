from functools import cache
from itertools import combinations

import numpy as np
import pytest

from harness.errors import UnknownNameError
from harness.studies import STUDIES, paint

each_study = pytest.mark.parametrize("name", STUDIES)


def test_there_is_a_study_for_each_painting_of_the_suites():
    expected = "starry-night wheat-field water-lilies seated-nude the-scream shipwreck"
    expected += " composition-vii great-wave woman-with-a-hat"
    assert expected.split() == list(STUDIES)


@cache
def _square(name, side=96, seed=0):
    return paint(name, side, side, seed)


@each_study
def test_same_arguments_give_same_pixels(name):
    np.testing.assert_array_equal(_square(name), paint(name, 96, 96))


@each_study
def test_another_seed_gives_another_picture(name):
    # On average 5 of 255 levels apart: not another rounding.
    assert np.abs(_square(name).astype(int) - _square(name, seed=1)).mean() > 5


@pytest.mark.parametrize(("width", "height"), [(67, 101), (131, 65)])
@pytest.mark.parametrize("name", ["starry-night", "seated-nude", "great-wave"])
def test_any_size_gives_that_size_in_plain_uint8(name, width, height):
    picture = paint(name, width, height)
    assert (height, width, 3) == picture.shape
    assert np.uint8 == picture.dtype
    assert picture.flags.c_contiguous
    assert picture.flags.writeable  # torch.from_numpy warns of arrays that are not


@each_study
def test_a_study_looks_alike_at_every_size(name):
    halved = _square(name, 192).reshape(96, 2, 96, 2, 3).mean((1, 3))  # 2 x 2 pixels to one
    # The same strokes in the same places; two seeds of one study correlate by 0.06 to 0.83.
    assert np.corrcoef(_square(name).ravel(), halved.ravel())[0, 1] > 0.9


@each_study
def test_no_ninth_of_a_study_is_flat(name):
    ninths = _square(name).mean(-1).reshape(3, 32, 3, 32).std((1, 3))
    # A ramp over 35 of 255 levels has standard deviation 35 / sqrt(12) = 10.1.
    assert ninths.min() > 10


@each_study
def test_every_ninth_of_a_study_has_fine_texture(name):
    grey = _square(name).mean(-1)
    steps = np.abs(np.diff(grey, axis=0, append=grey[-1:])).reshape(3, 32, 3, 32).mean((1, 3))
    # A ramp over 100 levels down the ninth has steps of 100 / 32 = 3.1; noise of standard
    # deviation 3 has steps of 3 * 2 / sqrt(pi) = 3.4. Brush-work must exceed either.
    assert steps.min() > 3.5


def test_palettes_are_pairwise_distinct():
    def palette(name):  # shares of 4 x 4 x 4 coarse colours
        coarse = _square(name).reshape(-1, 3) // 64
        return np.bincount(coarse @ [16, 4, 1], minlength=64) / len(coarse)

    palettes = {name: palette(name) for name in STUDIES}
    apart = {  # half the sum of |differences|: 0 is the same palette, 1 has nothing in common
        (one, two): np.abs(palettes[one] - palettes[two]).sum() / 2
        for one, two in combinations(STUDIES, 2)
    }
    closest = min(apart, key=apart.__getitem__)
    assert apart[closest] > 0.4, closest


def test_unknown_study_lists_the_names_and_suggests_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"great-wave, seated-nude.*Did you mean 'the-scream'"
    ):
        paint("the-screem", 64, 64)
