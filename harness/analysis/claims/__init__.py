"""From results to verdicts: which change matters, by how much, and how sure that is.

    blocks      results -> a matrix of paired differences, styles by contents
    rows        claims -> one row each: effect, interval, verdict
    compare     claims that nobody wrote down: every level against a baseline
    tables      rows -> Markdown, CSV, LaTeX, JSON
    terminal    rows -> the terminal
    found       what is stored of a suite
    variance    what scores owe their differences to
    check       what is wrong with a claim, before anything runs

All of it works on the flat rows of results.csv, so that anyone can do it again by hand.
"""

from harness.analysis.claims.comparisons import compared
from harness.analysis.claims.dataset import ClaimDataset
from harness.analysis.claims.feasibility import impossible
from harness.analysis.claims.judge import ClaimRow, evaluate_claims, failed_controls
from harness.analysis.claims.variance import shares

__all__ = [
    "ClaimDataset",
    "ClaimRow",
    "compared",
    "evaluate_claims",
    "failed_controls",
    "impossible",
    "shares",
]
