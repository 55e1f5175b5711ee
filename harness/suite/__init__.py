"""Read a suite from YAML and check it completely before anything runs.

This package is the only code that reads untrusted text. It reports all mistakes of a suite at
once, each with its position, its value, the allowed values and the nearest name.

    source            positions of values, for error messages
    yaml_loader       YAML -> plain values, each with its position
    schema            the keys of a suite file, and the checked `Suite`
    load              applies profiles and --set
    collection        image collections that several suites share
    limits            upper limits on the size of a suite
    validation        checks of the whole suite
    claim_validation  checks of its claims
    messages          error messages for pydantic's findings
"""

from harness.suite.limits import MAX_CELLS
from harness.suite.load import build, load
from harness.suite.schema import PLACES, SHARED_AXES, MethodSpec, Suite

__all__ = ["MAX_CELLS", "PLACES", "SHARED_AXES", "MethodSpec", "Suite", "build", "load"]
