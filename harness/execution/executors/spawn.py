"""Start worker processes that do not import the script of the user.

Python imports the main script in every spawned process. Without `if __name__ == "__main__":` that
would start the benchmark again in each worker, and standard input cannot be read twice. Workers
need the script only if it registers methods or metrics.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType

from harness.errors import UsageError
from harness.registry import METHODS, METRICS

MAIN = "__main__"
_hiding = threading.Lock()  # two runs in one process may start workers at the same time


class WorkerProcess(SpawnProcess):
    """A spawned process."""

    def start(self) -> None:
        """Start the process."""
        with _hidden_script():
            super().start()


class WorkerContext(SpawnContext):
    """The context that starts worker processes; a fork would copy the locks of torch."""

    Process = WorkerProcess


def check_script() -> None:
    """Check that workers can import methods and metrics that the script of the user defines.

    Raises:
        UsageError: They cannot.
    """
    file = getattr(sys.modules[MAIN], "__file__", None)
    if (names := _own_classes()) and not (file and Path(file).is_file()):
        raise UsageError(
            f"{', '.join(names)}: defined in standard input or in an interactive session, which "
            "worker processes cannot import. Write the class to a file and import it, or put it "
            "into methods/."
        )


def _own_classes() -> list[str]:
    """Return the names of methods and metrics that the script of the user defines."""
    return [
        name for names in (METHODS, METRICS) for name in names if names.get(name).__module__ == MAIN
    ]


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Hide the script of the user, unless it defines methods or metrics."""
    if _own_classes():
        yield
        return
    with _hiding:
        script = sys.modules[MAIN]
        sys.modules[MAIN] = ModuleType(MAIN)
        try:
            yield
        finally:
            sys.modules[MAIN] = script
