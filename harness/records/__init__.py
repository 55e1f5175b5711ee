"""The data that stages exchange: frozen, convertible to JSON, without torch.

A Cell is one planned method with its parameters, on one pair, with one seed and size. A Record is
its result. Planned cells and stored records share the ids that this package computes.
"""

from harness.records.cell import Cell, CellInputs, EncoderUse, ImageUse, TrainingUse, digest
from harness.records.record import (
    BITWISE,
    RAW_PIXELS,
    SAVED_IMAGE,
    SCHEMA,
    SNAPSHOT_EDGE,
    Calibration,
    Direction,
    Failure,
    Record,
    Score,
    Status,
    Timing,
    TracePoint,
)
from harness.records.run import RECIPES, Claim, Control, Run, Sign, Skip

__all__ = [
    "BITWISE",
    "RAW_PIXELS",
    "RECIPES",
    "SAVED_IMAGE",
    "SCHEMA",
    "SNAPSHOT_EDGE",
    "Calibration",
    "Cell",
    "CellInputs",
    "Claim",
    "Control",
    "Direction",
    "EncoderUse",
    "Failure",
    "ImageUse",
    "Record",
    "Run",
    "Score",
    "Sign",
    "Skip",
    "Status",
    "Timing",
    "TracePoint",
    "TrainingUse",
    "digest",
]
