"""Stop a script that starts nstbench again in each of its worker processes."""

from __future__ import annotations

import sys


def refusal() -> str:
    """Return a message if this process imports the main script of its parent, else nothing.

    A worker process imports that script if it defines methods or metrics. A call of nstbench in it
    that is not guarded would start nstbench again in each worker.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is None or not hasattr(process.current_process(), "_inheriting"):
        return ""
    return (
        f"{sys.argv[0]} starts nstbench whenever a process imports it, also in each worker process "
        'of nstbench. Put the call of nstbench below `if __name__ == "__main__":`.'
    )
