"""Checks that every registered method must pass (`nstbench check`)."""

from __future__ import annotations

from collections.abc import Iterator

from harness.registry import METHODS, METRICS
from harness.registry.diagnostics import Finding
from harness.registry.plugins import PluginError


def examine(name: str) -> Iterator[Finding]:
    """Run all checks on a method, or yield the reasons why it cannot be used.

    Raises:
        UnknownNameError: No method has this name.
    """
    faults = faults_of(name)
    for fault in faults:
        what = f"{fault.origin}: {fault.issue.what}"
        yield Finding(name, "the class can be registered", "bad", what, fault.issue.remedy)
    if not faults:
        METHODS.get(name)
        from harness.conformance.runner import run_checks  # imports torch

        yield from run_checks(name)


def faults_of(name: str) -> list[PluginError]:
    """Return the reasons why a name cannot be used; empty if it can, or if it is unknown."""
    if name in METHODS or name in METRICS:
        return []
    return [fault for fault in (*METHODS.faults, *METRICS.faults) if fault.name == name]
