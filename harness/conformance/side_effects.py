"""Check that a method changes nothing but the image that it returns."""

from __future__ import annotations

import gc
import multiprocessing
import threading
from collections.abc import Iterator

from harness.conformance.probe import Probe
from harness.registry.diagnostics import ValidationIssue

THREAD_TIMEOUT_SECONDS = 0.5  # for a thread that is about to end


def check_inputs(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that content and style are unchanged."""
    for name in probe.first_run.inputs_changed:
        yield ValidationIssue(f"it writes to the {name} image", "Write to image.clone() instead.")


def check_generators(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that global random generators are neither used nor seeded."""
    for name in probe.first_run.generators_used:
        yield ValidationIssue(
            f"it uses or seeds the global generator of {name}",
            "Draw from context.generator. Put calls that accept no generator into "
            "torch.random.fork_rng, and seed torch there from context.generator.",
        )


def check_settings(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that torch's global settings are unchanged."""
    for name in probe.first_run.settings_changed:
        yield ValidationIssue(
            f"it changes torch's {name} and does not restore it",
            "Restore it with a context manager: other cells run in the same process.",
        )


def check_stdout(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that nothing is printed."""
    if text := probe.first_run.printed.strip():
        yield ValidationIssue(
            f"it prints {text.splitlines()[0][:60]!r}",
            "Report progress with context.on_step, and other facts with context.note.",
        )


def check_threads(probe: Probe) -> Iterator[ValidationIssue]:
    """Check that no thread or child process of the method is still running."""
    threads = set(threading.enumerate()) - probe.initial_threads
    if threads:
        gc.collect()  # a thread pool ends when it is collected
    for thread in threads:
        thread.join(THREAD_TIMEOUT_SECONDS)
        if thread.is_alive():
            yield ValidationIssue(
                f"the thread {thread.name} is still running",
                "End it before fit or the stylizer returns.",
            )
    for process in multiprocessing.active_children():
        yield ValidationIssue(
            f"the process {process.name} is still running",
            "End it before fit or the stylizer returns.",
        )
