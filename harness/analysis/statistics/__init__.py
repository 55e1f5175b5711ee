"""From paired differences to an effect, an interval and a verdict.

Styles and contents are both random samples, crossed with each other, so an interval generalises to
styles and contents that were not run. Functions take matrices and return plain numbers.
"""

from harness.analysis.statistics.anova import variance_shares
from harness.analysis.statistics.complete_cases import complete
from harness.analysis.statistics.effect_size import Effect, effect
from harness.analysis.statistics.multiple_testing import benjamini_hochberg, holm
from harness.analysis.statistics.verdicts import ALPHA, MIN_STYLES, Verdict, verdict

__all__ = [
    "ALPHA",
    "MIN_STYLES",
    "Effect",
    "Verdict",
    "benjamini_hochberg",
    "complete",
    "effect",
    "holm",
    "variance_shares",
    "verdict",
]
