"""What an effect says about a claim, in one of a few words."""

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
    "not tested",  # the suite has no such comparison; said by those who look for one
    "unavailable",  # it has, and what it needs could not be had
]

MIN_STYLES = MIN_CONTENTS = 6
"""With fewer no sign test can reach 5 %, and images were as likely picked as sampled."""

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
    """Return what the effect says of the claim that the second level is lower, higher or equal.

    `smallest` is the smallest effect of interest, in the effect's units. Where the claim is one of
    a family, `adjusted_p` is what `holm` makes of the effect's p: above 5 %, an interval that
    excludes zero is not enough.

    Raises:
        ValueError: Where `smallest` is not above zero: then nothing could ever be equivalent.
    """
    if not smallest > 0:
        raise ValueError(f"the smallest effect of interest must be above 0, not {smallest}")
    if effect.styles < MIN_STYLES or effect.contents < MIN_CONTENTS:
        return "illustration"
    found = _on_average(effect, predicted, smallest, adjusted_p)
    return _STYLE_DEPENDENT[found] if _depends_on_style(effect, found, smallest) else found


def _on_average(
    effect: Effect, predicted: Sign, smallest: float, adjusted_p: float | None
) -> Verdict:
    """Equivalence comes first: an effect too small to matter is none, however surely it is there.

    "Beyond" means the whole interval. Where no effect is predicted, any that matters contradicts.
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


def _depends_on_style(effect: Effect, found: Verdict, smallest: float) -> bool:
    """Tell whether one more style may well give another answer than the average over styles.

    That is the other sign; or, for what is equivalent on average, an effect that matters. The
    prediction is as wide where blocks are merely noisy: only styles that do differ are blamed.
    """
    if found == "inconclusive" or effect.styles_differ_p is None or effect.styles_differ_p > ALPHA:
        return False
    low, high = _towards("higher", effect.new_style_low, effect.new_style_high)
    if found == "equivalent":
        return low <= -smallest or high >= smallest
    return low <= 0 <= high


def _towards(predicted: Sign, low: float | None, high: float | None) -> tuple[float, float]:
    """Return the limits with the predicted sign as the positive one."""
    assert low is not None, "there is an interval wherever there are two styles and contents"
    assert high is not None
    return (low, high) if DIRECTIONS[predicted] > 0 else (-high, -low)
