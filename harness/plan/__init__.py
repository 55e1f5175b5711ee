"""From a suite to a plan: which cells there are, and which of them have to run. Pure functions."""

from harness.plan.expand import Action, Entry, Facts, Plan, decide, expand, explain, explained

__all__ = ["Action", "Entry", "Facts", "Plan", "decide", "expand", "explain", "explained"]
