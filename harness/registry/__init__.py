"""Methods and metrics by name, from nstbench and from other installed packages."""

from harness.registry.registry import FOUND, METHODS, METRICS, Registry, settings

__all__ = ["FOUND", "METHODS", "METRICS", "Registry", "settings"]
