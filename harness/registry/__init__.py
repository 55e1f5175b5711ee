"""Methods and metrics by name, from nstbench and from other installed packages."""

from harness.registry.registry import (
    FOUND,
    LOCATION,
    METHODS,
    METRICS,
    Registry,
    locations,
    settings,
)

__all__ = ["FOUND", "LOCATION", "METHODS", "METRICS", "Registry", "locations", "settings"]
