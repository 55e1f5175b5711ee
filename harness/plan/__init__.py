"""From a suite to a plan: which cells it has, and which of them have to run."""

from harness.plan.decide import Action, Entry, Plan, decide, explain, explain_all
from harness.plan.expand import expand
from harness.plan.resources import Resources

__all__ = ["Action", "Entry", "Plan", "Resources", "decide", "expand", "explain", "explain_all"]
