"""What every method keeps to, as checks that can be run on any that is registered."""

from __future__ import annotations

from collections.abc import Iterator

from harness.registry import METHODS, METRICS
from harness.registry.diagnostics import Finding
from harness.registry.plugins import PluginError


def examine(name: str) -> Iterator[Finding]:
    """Run every check on a method, or say why it cannot be used.

    Raises:
        UnknownNameError: There is no such method.
    """
    faults = faults_of(name)
    for fault in faults:
        what = f"{fault.origin}: {fault.flaw.what}"
        yield Finding(name, "it can be used", "bad", what, fault.flaw.remedy)
    if not faults:
        METHODS.get(name)
        from harness.conformance.runner import tried  # torch loads here, not before

        yield from tried(name)


def faults_of(name: str) -> list[PluginError]:
    """Return why a name cannot be used; nothing where it can, or where nobody brings it."""
    if name in METHODS or name in METRICS:
        return []
    return [fault for fault in (*METHODS.faults, *METRICS.faults) if fault.name == name]
