"""Runs of a suite that MLflow has already, one per key; runs of crashed processes are closed."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

STALE_SECONDS = 3600
"""Age at which an open run of another machine counts as crashed; sending a cell takes less."""


@dataclass(frozen=True)
class ExistingRun:
    """A run that MLflow has."""

    run_id: str
    digest: str  # of the record that was sent; empty if sending did not complete
    status: str
    artifacts: str  # URI of its files
    contents: str  # digest of the files' names and sizes
    started: int = 0  # milliseconds since 1970, when the cell was computed
    tags: Mapping[str, str] = field(default_factory=dict)


def process_tags() -> dict[str, str]:
    """Return tags that show other processes whether a run is still being written."""
    return {
        "nst.host": socket.gethostname(),
        "nst.pid": str(os.getpid()),
        "nst.begun": str(round(time.time())),
    }


def reconcile_runs(client: Any, experiment: str) -> dict[str, ExistingRun]:
    """Return the runs of an experiment by key, after closing and deleting stale ones.

    Open runs of crashed processes are set to KILLED. Of several runs with one key, the complete
    one stays and the others are deleted: after a lost response MLflow repeats the request, and
    creates a second run. Runs that another process is writing stay as they are.
    """
    by_key: dict[str, ExistingRun] = {}
    for run in sorted(_runs(client, experiment), key=_completeness, reverse=True):
        run_id, tags = run.info.run_id, run.data.tags
        is_open = run.info.status == "RUNNING"
        in_use = is_open and _is_written_elsewhere(tags)
        if is_open and not in_use:
            client.set_terminated(run_id, "KILLED")
        if tags["nst.key"] not in by_key and ("nst.record" in tags or not in_use):
            by_key[tags["nst.key"]] = _existing_run(run)
        elif not in_use:
            client.delete_run(run_id)
    return by_key


def complete_runs(client: Any, experiment: str) -> dict[str, ExistingRun]:
    """Return the complete runs of an experiment by key, without changing any."""
    runs = (run for run in _runs(client, experiment) if "nst.record" in run.data.tags)
    return {run.data.tags["nst.key"]: _existing_run(run) for run in sorted(runs, key=_completeness)}


def delete_orphans(client: Any, experiment: str) -> None:
    """Delete open runs of this process; call it after all its known runs are closed.

    They exist where MLflow created a run and the response was lost.
    """
    own = process_tags()
    query = " AND ".join(
        ["attributes.status = 'RUNNING'"]
        + [f"tags.`{key}` = '{own[key]}'" for key in ("nst.host", "nst.pid")]
    )
    for run in list(_runs(client, experiment, query)):
        client.delete_run(run.info.run_id)


def _existing_run(run: Any) -> ExistingRun:
    tags = run.data.tags
    return ExistingRun(
        run_id=run.info.run_id,
        digest=tags.get("nst.record", ""),
        status=run.info.status,
        artifacts=run.info.artifact_uri,
        contents=tags.get("nst.artifacts", ""),
        started=run.info.start_time or 0,
        tags=tags,
    )


def _runs(client: Any, experiment: str, query: str = "") -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], query, max_results=1000, page_token=token)
        yield from (run for run in page if "nst.key" in run.data.tags)
        if not (token := page.token):
            return


def _completeness(run: Any) -> tuple[bool, int]:
    """Order runs of one key: incomplete before complete, then by end time."""
    return "nst.record" in run.data.tags, run.info.end_time or 0


def _is_written_elsewhere(tags: dict[str, str]) -> bool:
    """Return whether another process that may be running is writing the run."""
    if time.time() - float(tags.get("nst.begun", 0)) > STALE_SECONDS:
        return False
    if tags["nst.host"] != socket.gethostname():
        return True
    return tags["nst.pid"] != str(os.getpid()) and _is_alive(int(tags["nst.pid"]))


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # os.kill would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # a process of another user
    return True
