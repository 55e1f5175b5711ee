"""`nstbench.run`: run a suite from Python."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from harness import filesystem
from harness.api import settings
from harness.api.guard import refusal
from harness.errors import StoreError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.api.results import Results

StrPath = str | os.PathLike[str]


def run(
    suite: StrPath,
    *,
    set: Mapping[str, Any] | None = None,
    metrics: Sequence[str] | None = None,
    profile: str | None = None,
    out: StrPath | None = None,
    device: str | None = None,
    precision: Literal["auto", "float32", "bfloat16"] | None = None,
    encoder: str | None = None,
    mirror: StrPath | None = None,
    weights: Mapping[str, StrPath] | None = None,
    offline: bool | None = None,
    fresh: bool = False,
    deterministic: bool | None = None,
    batch_cells: int | None = None,
    timeout: float | None = None,
    max_failures: int | str | None = None,
    allow_commands: bool | None = None,
    executor: Literal["local", "ray"] | None = None,
    ray_address: str | None = None,
    gpus_per_worker: float | None = None,
    mlflow: bool | None = None,
    tracking_uri: str | None = None,
    quiet: bool = False,
) -> Results:
    """Run the cells of a suite that are not finished, as `nstbench run` does; return its results.

    Arguments have the names and the meaning of the options of the command. None is the value of
    the environment variable NSTBENCH_<NAME>, or else the default of the command. Cells that fail
    raise no exception: `Results.cells` has their status and the reason.

    Args:
        suite: The path of a suite file, or the name of a packaged suite.
        set: Values of the suite to override: `{"sizes": [128], "gatys.iterations": 50}`.
        metrics: The metrics, short for `set={"metrics": ...}`.
        profile: A profile of the suite, `auto` or `none`.
        out: The folder of all results.
        device: `auto`, `cpu`, `cuda` or a part of the name of a GPU.
        precision: Precision of convolutions.
        encoder: The encoder to use instead of the suite's.
        mirror: Copies of images and weights: a folder or an http(s) address.
        weights: Files of pretrained weights, by the name of the network.
        offline: Whether to use no network.
        fresh: Whether to run finished cells again.
        deterministic: Whether to make images bitwise repeatable on this machine.
        batch_cells: Cells of a variant that may run in one batch.
        timeout: Seconds that a cell may take, its fit included.
        max_failures: A number of failed cells, or a percentage such as "10%", that ends the run.
        allow_commands: Whether to start the programs that the suite names.
        executor: Where cells run: `local` or `ray`.
        ray_address: An existing Ray cluster.
        gpus_per_worker: Share of a GPU per Ray worker.
        mlflow: Whether to log to MLflow.
        tracking_uri: The MLflow server or database.
        quiet: Whether to print no progress and no warnings.

    Raises:
        NstbenchError: The suite or an argument has a mistake, something that it needs is missing,
            or the results cannot be written.
        KeyboardInterrupt: Ctrl-C was pressed. Finished cells are kept; the next call continues.
    """
    if message := refusal():
        sys.exit(message)  # a worker process: an exception would hide the message in a traceback
    given = settings.resolve({
        "profile": profile,
        "out": out,
        "device": device,
        "precision": precision,
        "encoder": encoder,
        "mirror": mirror,
        "weights": weights,
        "offline": offline,
        "fresh": fresh,
        "deterministic": deterministic,
        "batch_cells": batch_cells,
        "timeout": timeout,
        "max_failures": max_failures,
        "allow_commands": allow_commands,
        "executor": executor,
        "ray_address": ray_address,
        "gpus_per_worker": gpus_per_worker,
        "no_mlflow": None if mlflow is None else not mlflow,
        "tracking_uri": tracking_uri,
    })  # fmt: skip
    changes = dict(set or {})
    if isinstance(metrics, str):
        raise UsageError(f"metrics={metrics!r} is a text. Pass a list: [{metrics!r}].")
    if metrics is not None:
        changes["metrics"] = list(metrics)
    with disk_errors():
        return _run(suite, tuple(_overrides(changes)), given, quiet=quiet)


def _run(
    suite: StrPath, overrides: tuple[str, ...], given: Mapping[str, Any], *, quiet: bool
) -> Results:
    from harness.api.display import Display
    from harness.api.execute import Request, connect, execute, ready_run
    from harness.api.results import Results
    from harness.store.revisions import Revision
    from harness.tracking import address

    rest = dict(given)
    no_mlflow, tracking_uri = rest.pop("no_mlflow", False), rest.pop("tracking_uri", "")
    rest.setdefault("out", settings.DEFAULT_OUT)
    path = filesystem.expanded(suite)
    request = Request.of(suite=path, overrides=overrides, **rest)
    request.check_share()
    cluster, display = connect(request), Display(_console(quiet=quiet))
    command = settings.command_line(path, overrides, given)
    with ready_run(request, display, cluster) as ready:
        uri = "" if no_mlflow else address.resolve(ready.store.root.parent, tracking_uri)
        if execute(ready, display, uri, command, cluster).interrupted:
            display.interrupted()
            raise KeyboardInterrupt
    store = ready.store
    return Results(Revision(str(store.root), store.suite, store, latest=True))


def _overrides(changes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the values of --set."""
    for key, value in changes.items():
        try:
            text = json.dumps(value, ensure_ascii=False, default=_plain)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"set[{key!r}] is {value!r}, which cannot be written to a suite: {error}. Use "
                "numbers, strings, booleans, None, lists and dictionaries of them."
            ) from None
        yield f"{key}={text}"


def _plain(value: Any) -> Any:
    """Return a path as text, and numbers and arrays of numpy as those of Python."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no value of YAML")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn errors of a disk that no other code handles into StoreError, with the same message."""
    try:
        yield
    except OSError as error:
        if not (message := filesystem.describe_os_error(error)):
            raise
        raise StoreError(message) from error


def _console(*, quiet: bool) -> Console:
    """Return the console of the progress; plain lines in a notebook."""
    from rich.console import Console

    if quiet:
        return Console(file=io.StringIO(), quiet=True)
    return Console(width=None if sys.stdout.isatty() else 200, force_jupyter=False)
