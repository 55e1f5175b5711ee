"""Methods and metrics by name: those of this project and those of other installed packages."""

from harness.registry.registry import FOUND, METHODS, METRICS, Registry, settings

__all__ = ["FOUND", "METHODS", "METRICS", "Registry", "settings"]
