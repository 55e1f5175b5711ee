"""The public interface for authors of methods and metrics; `python -m nstbench` is the CLI."""

from harness.errors import Diverged, NstbenchError
from harness.protocols import (
    Batches,
    Checkpoints,
    Context,
    Encoder,
    Image,
    Method,
    Metric,
    Objective,
    Scale,
    Step,
    Stylizer,
    SupportsBatches,
    SupportsExport,
    SupportsObjective,
    Unavailable,
)
from harness.records import Cell, Record, Score
from harness.registry import FOUND, METHODS, METRICS

__all__ = [
    "FOUND", "METHODS", "METRICS", "Batches", "Cell", "Checkpoints", "Context", "Diverged",
    "Encoder", "Image", "Method", "Metric", "NstbenchError", "Objective", "Record", "Scale",
    "Score", "Step", "Stylizer", "SupportsBatches", "SupportsExport", "SupportsObjective",
    "Unavailable",
]  # fmt: skip

if __name__ == "__main__":
    from harness.cli.main import main

    main()
