"""The commands that run a suite, score its images again, or show its plan."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from harness.api.settings import weights_paths
from harness.cli import options as opts

if TYPE_CHECKING:
    from rich.console import Console

    from harness.api.display import Display
    from harness.api.execute import Finished, Request
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
def run(tracking_uri: str, *, no_mlflow: bool, fail_fast: bool, **options: Any) -> None:
    """Run a suite: stylize, measure, log to MLflow, render the page.

    Finished cells are reused. The first Ctrl-C ends the run after the current cell, a second
    Ctrl-C ends it immediately. To continue, run the same command again.
    """
    if fail_fast:
        options["max_failures"] = "1"
    request = _request(**options)
    request.check_share()
    _run_and_exit(request, tracking_uri, no_mlflow=no_mlflow)


@click.command()
@opts.suite
@opts.tracking_uri
@opts.no_mlflow
def rescore(tracking_uri: str, no_mlflow: bool, **options: Any) -> None:
    """Compute new or updated metrics on stored images. Stylizes nothing."""
    _run_and_exit(_request(**options, scores_only=True), tracking_uri, no_mlflow=no_mlflow)


@click.command()
@opts.suite
@opts.deterministic
@opts.executor
@click.option("--explain", is_flag=True, help="Show for each cell why it runs.")
@opts.as_json
def plan(*, explain: bool, as_json: bool, **options: Any) -> None:
    """Show which cells `run` would run, and why, without running them.

    Downloads and changes nothing: files that are not on this machine yet count as missing. To see
    the plan with them, run `nstbench fetch` first.
    """
    from harness.api import display
    from harness.api.execute import connect, prepare_run
    from harness.plan import explain_all
    from harness.resources import hash_cache

    request = _request(**options, downloads=False)
    cluster = connect(request)
    with hash_cache.read_only():
        prepared = prepare_run(request, cluster)
    if as_json:
        click.echo(json.dumps(_plan_json(prepared), indent=1))
        return
    display.Display(opts.console()).announce(prepared, cluster)
    why = explain_all(prepared.plan, prepared.store.all_records()) if explain else None
    click.echo("\n".join(display.entry_lines(prepared.plan, why)))


def _request(
    overrides: Iterable[str], weights: Iterable[str], precision: str | None, **rest: Any
) -> Request:
    """Return the request for the values of the options."""
    from harness.api.execute import Request

    given = {"overrides": tuple(overrides), "precision": precision or ""}
    return Request.of(**given, weights=weights_paths(weights), **rest)


def _run_and_exit(request: Request, tracking_uri: str, *, no_mlflow: bool) -> NoReturn:
    """Run the cells of the plan, print the results and exit."""
    from harness.api.display import Display
    from harness.api.execute import connect, execute, ready_run
    from harness.tracking import address

    cluster, display = connect(request), Display(opts.console())
    with ready_run(request, display, cluster) as ready:
        uri = "" if no_mlflow else address.resolve(ready.store.root.parent, tracking_uri)
        try:
            finished = execute(ready, display, uri, _command(), cluster)
        except KeyboardInterrupt:
            sys.exit(opts.INTERRUPTED)
        sys.exit(_show(finished, ready, display, uri))


def _show(finished: Finished, ready: ReadyRun, display: Display, uri: str) -> int:
    """Print the results of a run; return the exit code."""
    from harness.cli import tables

    console = display.console
    tables.print_results(console, finished.records)
    failed, skipped = sum(not record.ok for record in finished.records), len(ready.plan.skipped)
    if failed or skipped:
        console.print(f"[yellow]{failed} failed, {skipped} skipped. The page shows the reasons.[/]",
                      highlight=False)  # fmt: skip
    _print_locations(console, ready, uri if finished.tracked else "", finished.page)
    if finished.interrupted:
        display.interrupted()
        return opts.INTERRUPTED
    return 0 if not failed and not skipped and finished.run.finished else opts.INCOMPLETE


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
