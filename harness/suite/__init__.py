"""A suite: what to run, read from YAML, checked whole before anything runs.

This is the only code that sees untrusted text. Every mistake is found in one go, and each is told
with its place, its value, the choices and the nearest name.

    marked_yaml   YAML -> plain values, each with its place
    schema        what a suite may hold, and what a checked one is
    load          profiles and --set laid over the file
    collection    images that several suites name
    bounds        how much a suite may ask for
    check         every mistake of the whole
"""

from harness.suite.limits import MAX_CELLS
from harness.suite.load import load
from harness.suite.schema import PLACES, MethodSpec, Suite

__all__ = ["MAX_CELLS", "PLACES", "MethodSpec", "Suite", "load"]
