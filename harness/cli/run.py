"""The commands that run a suite, score its images again, or show its plan."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options as opts
from harness.errors import NstbenchError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.cli.display import Display
    from harness.execution.executors.ray.cluster import Cluster
    from harness.execution.prepare import ReadyRun


@click.command()
@opts.suite
@opts.deterministic
@opts.executor
@opts.tracking_uri
@opts.no_mlflow
@click.option(
    "--batch-cells",
    type=click.IntRange(min=1),
    default=1,
    is_flag=False,
    flag_value=8,
    envvar="NSTBENCH_BATCH_CELLS",
    metavar="[N]",
    help="Run up to N cells of a variant in one batch, 8 without a number. A batch raises the "
    "throughput; its time is divided equally among its cells.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    envvar="NSTBENCH_TIMEOUT",
    help="Maximum time for a cell, including its fit.",
)
@click.option(
    "--max-failures",
    default="",
    metavar="N|P%",
    envvar="NSTBENCH_MAX_FAILURES",
    help="End the run after this number or percentage of failed cells.",
)
@click.option(
    "--allow-commands",
    is_flag=True,
    envvar="NSTBENCH_ALLOW_COMMANDS",
    help="Start the programs that the suite names. Without it, they are listed and nothing runs.",
)
@click.option("--fail-fast", is_flag=True, help="Same as --max-failures 1.")
def run(
    tracking_uri: str, no_mlflow: bool, batch_cells: int, timeout: float | None, max_failures: str,
    executor: str, ray_address: str, gpus_per_worker: float, *, fail_fast: bool,
    allow_commands: bool, **options: Any,
) -> None:  # fmt: skip
    """Run a suite: stylize, measure, log to MLflow, render the page.

    Finished cells are reused. The first Ctrl-C ends the run after the current cell, a second
    Ctrl-C ends it immediately. To continue, run the same command again.
    """
    if batch_cells > 1 and options["deterministic"]:
        raise UsageError(
            f"--batch-cells {batch_cells} cannot be combined with --deterministic: an image from a "
            "batch is not bitwise identical to the same image from a single cell, and the finished "
            "cells decide which cells share a batch. Leave out one of the two options."
        )
    if batch_cells == 1 and gpus_per_worker < 1:
        raise UsageError(
            f"--gpus-per-worker {gpus_per_worker:g} requires --batch-cells: workers that share a "
            "GPU disturb each other's timing, and a timed cell needs a whole GPU."
        )
    options |= {"batch_cells": batch_cells, "timeout": timeout, "allow_commands": allow_commands}
    options["max_failures"] = "1" if fail_fast else max_failures
    cluster = _connect(executor, ray_address, gpus_per_worker, options)
    with _ready_run(options, cluster) as (ready, display):
        uri = "" if no_mlflow else _resolve_uri(ready, tracking_uri)
        sys.exit(_run_and_show(ready, display, uri, cluster))


@click.command()
@opts.suite
@opts.tracking_uri
@opts.no_mlflow
def rescore(tracking_uri: str, no_mlflow: bool, **options: Any) -> None:
    """Compute new or updated metrics on stored images. Stylizes nothing."""
    with _ready_run(options, scores_only=True) as (ready, display):
        uri = "" if no_mlflow else _resolve_uri(ready, tracking_uri)
        sys.exit(_run_and_show(ready, display, uri))


@click.command()
@opts.suite
@opts.deterministic
@opts.executor
@click.option("--explain", is_flag=True, help="Show for each cell why it runs.")
@opts.as_json
def plan(
    executor: str,
    ray_address: str,
    gpus_per_worker: float,
    *,
    explain: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show which cells `run` would run, and why, without running them.

    Downloads and changes nothing: files that are not on this machine yet count as missing. To see
    the plan with them, run `nstbench fetch` first.
    """
    from harness.cli import display
    from harness.plan import explain_all
    from harness.resources import hash_cache

    cluster = _connect(executor, ray_address, gpus_per_worker, options)
    options["downloads"] = False
    with hash_cache.read_only():
        prepared = _prepare(**options, hardware=cluster.hardware if cluster else None)
    if as_json:
        click.echo(json.dumps(_plan_json(prepared), indent=1))
        return
    display.Display(opts.console()).announce(prepared, cluster)
    why = explain_all(prepared.plan, prepared.store.all_records()) if explain else None
    click.echo("\n".join(display.entry_lines(prepared.plan, why)))


@contextmanager
def _ready_run(
    options: Mapping[str, Any], cluster: Cluster | None = None, *, scores_only: bool = False
) -> Iterator[tuple[ReadyRun, Display]]:
    """Prepare a suite and hold the lock of its folder; yield the run and its display."""
    from harness.cli.display import Display
    from harness.store.lock import lock_suite

    def prepare() -> ReadyRun:
        ready = _prepare(**options, hardware=cluster.hardware if cluster else None)
        return replace(ready, plan=replace(ready.plan, scores_only=scores_only))

    ready = prepare()
    ready.check_programs()
    display = Display(opts.console())
    with lock_suite(ready.store.root, display.waiting_for_lock) as waited:
        if waited:
            ready = prepare()  # the other run has finished cells of this plan
        display.announce(ready, cluster)
        if not ready.plan.entries:
            raise UsageError("No cell of this suite can run here. The reasons are listed above.")
        yield ready, display


def _resolve_uri(ready: ReadyRun, given: str) -> str:
    from harness.tracking import address

    return address.resolve(ready.store.root.parent, given)


def _run_and_show(
    ready: ReadyRun, display: Display, uri: str, cluster: Cluster | None = None
) -> int:
    """Run the cells of the plan, write the page, print the results; return the exit code."""
    from harness.cli import run_loop, tables
    from harness.cli.interrupts import InterruptHandler
    from harness.execution.machine import environment
    from harness.store import redact
    from harness.tracking.background_thread import BackgroundTracker

    ready.store.begin()
    opts.announce_migration(uri, display.warn)
    tracker, console = BackgroundTracker(ready.store, uri, display.warn), display.console
    try:
        with InterruptHandler(display.interrupt_received) as interrupts:
            run = ready.run_record(
                command=_command(), started=environment.now(), tracking=redact(uri)
            )
            executor = partial(run_loop.make_executor, ready, display, cluster)
            observers = [run_loop.MlflowObserver(tracker), display]
            run = run_loop.run_cells(ready, run, executor, observers, interrupts)
            paths = _write_page(ready)
            records = list(ready.store.records(run))
            tracker.summary(run, records, paths, display.waiting_for_mlflow)
    except KeyboardInterrupt:
        display.interrupted(tracker.stop())
        return opts.INTERRUPTED
    except NstbenchError:
        tracker.stop()
        raise
    display.completed_mlflow(tracker.completed)
    tables.print_results(console, records)
    failed, skipped = sum(not record.ok for record in records), len(ready.plan.skipped)
    if failed or skipped:
        console.print(f"[yellow]{failed} failed, {skipped} skipped. The page shows the reasons.[/]",
                      highlight=False)  # fmt: skip
    _print_locations(console, ready, uri if tracker.working else "", paths[0])
    if interrupts.interrupted:
        display.interrupted()
        return opts.INTERRUPTED
    return 0 if not failed and not skipped and run.finished else opts.INCOMPLETE


def _connect(
    executor: str, ray_address: str, share: float, options: Mapping[str, Any]
) -> Cluster | None:
    """Return the nodes of a Ray cluster, or None where cells run on this machine."""
    if executor == "local":
        if ray_address:
            raise UsageError(f"--ray-address {ray_address} requires --executor ray.")
        return None
    from harness import suite as suites
    from harness.execution.executors.ray import cluster

    # An invalid suite is reported before a cluster starts.
    suites.load(opts.suite_path(options["suite"]), "", options["overrides"])
    return cluster.select_nodes(cluster.connect(ray_address), options["device"], share)


def _prepare(
    suite: Path, profile: str, overrides: Iterable[str], mirror: str,
    weights: Sequence[str], **rest: Any,
) -> ReadyRun:  # fmt: skip
    from harness.execution.prepare import RunOptions, prepare

    rest["precision"] = rest["precision"] or ""
    options = RunOptions(mirror=mirror, weights=opts.weights_paths(weights), **rest)
    return prepare(opts.load_suite(suite, profile, overrides, options), options)


def _write_page(prepared: ReadyRun) -> list[Path]:
    from reports import page

    page.write(prepared.store)
    return prepared.store.page_paths()


def _command() -> str:
    import shlex

    from harness.store import redact

    return shlex.join(["nstbench", *map(redact, sys.argv[1:])])


def _plan_json(prepared: ReadyRun) -> dict[str, Any]:
    return {
        "suite": prepared.suite.name,
        "profile": prepared.suite.profile,
        "warnings": prepared.warnings,
        "cells": [
            {"id": e.cell.id, "name": e.cell.name, "action": e.action, "why": e.why,
             "components": e.cell.components}
            for e in prepared.plan.entries
        ],
        "skipped": [asdict(skip) for skip in prepared.plan.skipped],
    }  # fmt: skip


def _print_locations(console: Console, prepared: ReadyRun, uri: str, page: Path) -> None:
    from harness.store import redact
    from harness.tracking import address

    if uri:
        shown, command = redact(uri), address.ui_command(prepared.store.root.parent, uri)
        where = shown if uri.startswith("http") else f"{command}   ({shown})"
        console.print(f"MLflow  {where}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"page    {page}", highlight=False, soft_wrap=True, markup=False)
