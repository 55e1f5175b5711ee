"""Format numbers, durations and names for the page."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

NONE = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_BREAKS = re.compile(r"(?<=[,_/=])|(?=\[)|(?<=--)")


def number(value: float | None) -> str:
    """Format three significant digits; a dash for a missing or non-finite value."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    digits, power = _scaled(value)
    if -4 <= power < 5:
        return _minus(f"{float(f'{value:.2e}'):.{max(0, 2 - power)}f}")
    return _minus(f"{digits:.2f}") + _times_ten(power)


def spread(mean: float, deviation: float) -> str:
    """Format a standard deviation with the number of decimals that `number` uses for the mean."""
    if mean == 0 or not math.isfinite(deviation):
        return number(deviation)
    power = _scaled(mean)[1]
    if deviation < abs(mean) * 1e-9:  # rounding error of equal values
        return "0"
    if -4 <= power < 5:
        return f"{deviation:.{max(0, 2 - power)}f}"
    return f"{deviation / 10**power:.2f}{_times_ten(power)}"


def tick(value: float) -> str:
    """Format an axis tick as short as possible: 0.02, 5, 2000, 10⁴."""
    digits, power = _scaled(value)
    if -4 < power < 4:
        return _minus(f"{value:g}")
    return _times_ten(power)[1:] if digits == 1 else _minus(f"{digits:g}") + _times_ten(power)


def duration(seconds: float) -> str:
    """Format 135.2 as `2 min 15 s` and 0.0321 as `32.1 ms`."""
    if 0 < seconds < 0.1:
        return f"{number(seconds * 1000)} ms"
    if seconds < 120:
        return f"{number(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def breakable(name: str) -> Markup:
    """Allow line breaks in a long name only at its punctuation."""
    return Markup("<wbr>").join(escape(part) for part in _BREAKS.split(name))


def _scaled(value: float) -> tuple[float, int]:
    # Take the power after rounding, so that 9.999 becomes 10.0 and not 10.00.
    digits, power = f"{value:.2e}".split("e")
    return float(digits), int(power)


def _times_ten(power: int) -> str:
    return "×10" + str(power).translate(_SUPERSCRIPT)


def _minus(text: str) -> str:
    return text.replace("-", "−")
