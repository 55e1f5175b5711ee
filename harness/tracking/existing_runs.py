"""What MLflow holds of a suite already, one run of each key; what the dead left there is closed."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

STALE_SECONDS = 3600
"""No cell takes so long to mirror. Of processes elsewhere there is no other sign that they died."""


@dataclass(frozen=True)
class ExistingRun:
    """A run that is there."""

    run_id: str
    digest: str  # of what it mirrors; empty where it was not completed
    status: str
    artifacts: str  # where its files are
    contents: str  # digest of their names and sizes
    tags: Mapping[str, str] = field(default_factory=dict)


def marks() -> dict[str, str]:
    """Return the tags by which another process can tell whether a run is still being written."""
    return {
        "nst.host": socket.gethostname(),
        "nst.pid": str(os.getpid()),
        "nst.begun": str(round(time.time())),
    }


def kept(client: Any, experiment: str) -> dict[str, ExistingRun]:
    """Return the runs of an experiment by key.

    What a dead process left RUNNING is set KILLED. Of several runs with one key a complete one
    stays, the others are deleted: where the answer to a creation was lost, MLflow asks once more,
    and has two. What another process is writing is left alone.
    """
    found: dict[str, ExistingRun] = {}
    for run in sorted(_runs(client, experiment), key=_worth, reverse=True):
        run_id, tags = run.info.run_id, run.data.tags
        running = run.info.status == "RUNNING"
        another_s = running and _is_written_elsewhere(tags)
        if running and not another_s:
            client.set_terminated(run_id, "KILLED")
        if tags["nst.key"] not in found and ("nst.record" in tags or not another_s):
            found[tags["nst.key"]] = _kept(run)
        elif not another_s:
            client.delete_run(run_id)
    return found


def complete(client: Any, experiment: str) -> dict[str, ExistingRun]:
    """Return the complete runs of an experiment by key; changes nothing there."""
    runs = (run for run in _runs(client, experiment) if "nst.record" in run.data.tags)
    return {run.data.tags["nst.key"]: _kept(run) for run in sorted(runs, key=_worth)}


def _kept(run: Any) -> ExistingRun:
    tags = run.data.tags
    return ExistingRun(
        run_id=run.info.run_id,
        digest=tags.get("nst.record", ""),
        status=run.info.status,
        artifacts=run.info.artifact_uri,
        contents=tags.get("nst.artifacts", ""),
        tags=tags,
    )


def forget_lost(client: Any, experiment: str) -> None:
    """Delete what this process began and never heard of, once all that it knows of is ended."""
    own = marks()
    among = " AND ".join(
        ["attributes.status = 'RUNNING'"]
        + [f"tags.`{key}` = '{own[key]}'" for key in ("nst.host", "nst.pid")]
    )
    for run in list(_runs(client, experiment, among)):
        client.delete_run(run.info.run_id)


def _runs(client: Any, experiment: str, among: str = "") -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], among, max_results=1000, page_token=token)
        yield from (run for run in page if "nst.key" in run.data.tags)
        if not (token := page.token):
            return


def _worth(run: Any) -> tuple[bool, int]:
    """Order runs of one key: complete before incomplete, then by when they were ended."""
    return "nst.record" in run.data.tags, run.info.end_time or 0


def _is_written_elsewhere(tags: dict[str, str]) -> bool:
    """Tell whether another process than this, one that lives, may be at it."""
    if time.time() - float(tags.get("nst.begun", 0)) > STALE_SECONDS:
        return False
    if tags["nst.host"] != socket.gethostname():
        return True
    return tags["nst.pid"] != str(os.getpid()) and _lives(int(tags["nst.pid"]))


def _lives(pid: int) -> bool:
    if sys.platform == "win32":
        return True  # to ask is to end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True
