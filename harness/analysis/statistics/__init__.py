"""From paired differences to an effect, an interval and a verdict.

Styles and contents are both samples, crossed with one another: an interval speaks of styles and
contents that were not run. No pandas, no torch: matrices go in, plain numbers come out.
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
