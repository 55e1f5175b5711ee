"""Frozen feature networks whose layers are read by name."""

from harness.encoders.loading import (
    CONTENT_LAYERS,
    STYLE_LAYERS,
    canonical_layers,
    check,
    converted,
    find,
    load,
    replacement_layers,
    whole,
)

__all__ = [
    "CONTENT_LAYERS",
    "STYLE_LAYERS",
    "canonical_layers",
    "check",
    "converted",
    "find",
    "load",
    "replacement_layers",
    "whole",
]
