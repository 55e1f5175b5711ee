"""From results to verdicts: which change matters, by how much, and with which confidence.

    pairing      results -> a matrix of paired differences, styles by contents
    judge        claims -> rows with effect, interval and verdict
    rows         the row of a claim
    comparisons  claims for a comparison: each level against a baseline
    export       rows -> Markdown, CSV, LaTeX, JSON
    dataset      the stored results of a suite as a table
    variance     shares of style, content and variant in the variance of scores
    feasibility  claims that a plan cannot test

All modules use the flat rows of results.csv, so that results can be reproduced from that file.
"""

from harness.analysis.claims.comparisons import check_comparable, compared
from harness.analysis.claims.dataset import ClaimDataset
from harness.analysis.claims.feasibility import impossible
from harness.analysis.claims.judge import evaluate_claims, failed_controls
from harness.analysis.claims.rows import ClaimRow
from harness.analysis.claims.variance import shares

__all__ = [
    "ClaimDataset",
    "ClaimRow",
    "check_comparable",
    "compared",
    "evaluate_claims",
    "failed_controls",
    "impossible",
    "shares",
]
