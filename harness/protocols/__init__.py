"""The interfaces between methods, metrics and the harness.

Authors of methods inherit from `Method`, authors of metrics from `Metric`. The `Supports...`
protocols describe optional abilities of a method: a class has one by defining its functions.

This package imports torch for type checkers only, so that commands without torch start quickly.
"""

from harness.protocols.context import (
    Batches,
    Checkpoints,
    Context,
    Encoder,
    Image,
    Measured,
    Objective,
    Scale,
    Step,
    Stylizer,
)
from harness.protocols.method import (
    Method,
    Project,
    SupportsBatches,
    SupportsClose,
    SupportsExport,
    SupportsModule,
    SupportsNames,
    SupportsObjective,
    SupportsTiles,
    Timed,
)
from harness.protocols.metric import Metric, Unavailable

__all__ = [
    "Batches",
    "Checkpoints",
    "Context",
    "Encoder",
    "Image",
    "Measured",
    "Method",
    "Metric",
    "Objective",
    "Project",
    "Scale",
    "Step",
    "Stylizer",
    "SupportsBatches",
    "SupportsClose",
    "SupportsExport",
    "SupportsModule",
    "SupportsNames",
    "SupportsObjective",
    "SupportsTiles",
    "Timed",
    "Unavailable",
]
