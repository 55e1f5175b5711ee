"""The importable face of nstbench; `python -m nstbench` is the command `nstbench`."""

from harness.errors import NstbenchError
from harness.protocols import Context, Image, Method, Metric, Objective, Step, Stylizer
from harness.records import Cell, Record, Score
from harness.registry import METHODS, METRICS

__all__ = [
    "METHODS", "METRICS", "Cell", "Context", "Image", "Method", "Metric", "NstbenchError",
    "Objective", "Record", "Score", "Step", "Stylizer",
]  # fmt: skip

if __name__ == "__main__":
    from harness.cli.main import main

    main()
