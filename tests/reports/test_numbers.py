"""Formatting of numbers, deviations and durations."""

from __future__ import annotations

import math

import pytest

from reports.formatting import numbers as text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"), (math.nan, "–"), (math.inf, "–"), (0.0, "0"), (0.5124, "0.512"),
        (9.999, "10.0"), (0.0009999, "0.00100"), (-0.05, "−0.0500"), (123.456, "123"),
        (2048.0, "2050"), (99999.0, "1.00×10⁵"), (1.5e-7, "1.50×10⁻⁷"),
    ],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, written: str) -> None:
    assert text.number(value) == written


@pytest.mark.parametrize(
    ("mean", "deviation", "written"),
    [
        (0.512, 0.0412, "0.041"),
        (412.3, 5e-14, "0"),
        (412.3, 0.04, "0"),
        (1.0, 0.0009, "0.00"),
        (2e6, 3e5, "0.30×10⁶"),
    ],
)
def test_a_deviation_has_as_many_decimals_as_its_mean(
    mean: float, deviation: float, written: str
) -> None:
    assert text.spread(mean, deviation) == written


def test_durations_use_readable_units() -> None:
    spoken = [text.duration(s) for s in (0.0321, 0.5, 59.94, 135.2, 4312.2)]
    assert spoken == ["32.1 ms", "0.500 s", "59.9 s", "2 min 15 s", "1 h 11 min"]
