"""The verdict of an effect on a claim."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from harness.analysis.statistics.effect_size import DIRECTIONS, Effect
from harness.records import Sign

Verdict = Literal[
    "supported",
    "supported (style-dependent)",
    "supported (small)",
    "supported (small) (style-dependent)",
    "equivalent",
    "equivalent (style-dependent)",
    "contradicted",
    "contradicted (style-dependent)",
    "inconclusive",
    "illustration",  # too few styles or contents for a verdict
    "not tested",  # the suite has no such comparison; set by `claims.judge`
    "unavailable",  # the suite has the comparison, but scores or a smallest effect are missing
]

MIN_STYLES = MIN_CONTENTS = 6
"""With fewer, no sign test reaches 5 %, and images are hardly a random sample."""

ALPHA = 0.05

_STYLE_DEPENDENT: Mapping[Verdict, Verdict] = MappingProxyType(
    {
        "supported": "supported (style-dependent)",
        "supported (small)": "supported (small) (style-dependent)",
        "equivalent": "equivalent (style-dependent)",
        "contradicted": "contradicted (style-dependent)",
    }
)


def verdict(
    effect: Effect, predicted: Sign, smallest: float, adjusted_p: float | None = None
) -> Verdict:
    """Return the verdict on the claim that the second level is lower, higher or equal.

    `smallest` is the smallest effect of interest, in the units of the effect. `adjusted_p` is the
    p of a claim corrected within its family: above 5 %, an interval that excludes zero is not
    enough.

    Raises:
        ValueError: `smallest` is not above zero, so that no effect could be equivalent.
    """
    if not smallest > 0:
        raise ValueError(f"the smallest effect of interest must be above 0, not {smallest}")
    if effect.styles < MIN_STYLES or effect.contents < MIN_CONTENTS:
        return "illustration"
    average = _on_average(effect, predicted, smallest, adjusted_p)
    return _STYLE_DEPENDENT[average] if _depends_on_style(effect, average, smallest) else average


def _on_average(
    effect: Effect, predicted: Sign, smallest: float, adjusted_p: float | None
) -> Verdict:
    """Return the verdict on the average over styles.

    Equivalence comes first: an effect too small to matter counts as none, even if it is certain.
    Where no effect is predicted, any that matters contradicts.
    """
    low, high = _towards(predicted, effect.low, effect.high)
    low90, high90 = _towards(predicted, effect.low90, effect.high90)
    if -smallest < low90 and high90 < smallest:
        return "equivalent"
    if low <= 0 <= high or (adjusted_p is not None and adjusted_p > ALPHA):
        return "inconclusive"
    if high < 0 or predicted == "none":
        return "contradicted"
    return "supported" if low >= smallest else "supported (small)"


def _depends_on_style(effect: Effect, average: Verdict, smallest: float) -> bool:
    """Return whether one more style may well contradict the average over styles.

    That is by the other sign or, if the average is equivalent, by an effect that matters. Noisy
    blocks widen the prediction interval too, so styles also have to differ significantly.
    """
    if (
        average == "inconclusive"
        or effect.styles_differ_p is None
        or effect.styles_differ_p > ALPHA
    ):
        return False
    low, high = _towards("higher", effect.new_style_low, effect.new_style_high)
    if average == "equivalent":
        return low <= -smallest or high >= smallest
    return low <= 0 <= high


def _towards(predicted: Sign, low: float | None, high: float | None) -> tuple[float, float]:
    """Return the limits, negated if the predicted sign is negative."""
    assert low is not None, "two styles and two contents always have an interval"
    assert high is not None
    return (low, high) if DIRECTIONS[predicted] > 0 else (-high, -low)
