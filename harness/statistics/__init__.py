"""From paired differences to an effect, an interval and a verdict.

Styles and contents are both samples, crossed with one another: an interval speaks of styles and
contents that were not run. No pandas, no torch: matrices go in, plain numbers come out.
"""

from harness.statistics.anova import variance_shares
from harness.statistics.effects import Effect, effect
from harness.statistics.missing import complete
from harness.statistics.several import benjamini_hochberg, holm
from harness.statistics.verdicts import ALPHA, LEAST_STYLES, Verdict, verdict

__all__ = [
    "ALPHA",
    "LEAST_STYLES",
    "Effect",
    "Verdict",
    "benjamini_hochberg",
    "complete",
    "effect",
    "holm",
    "variance_shares",
    "verdict",
]
