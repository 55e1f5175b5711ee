"""The commands about this machine: its condition, files to fetch, methods, disk space."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from harness.api.settings import weights_paths
from harness.cli import options as opts
from harness.errors import NstbenchError

if TYPE_CHECKING:
    from harness.registry.diagnostics import Finding


@click.command()
@opts.out
@opts.device
@opts.sources
@opts.tracking_uri
@click.option(
    "--suite",
    type=opts.ExpandedPath(path_type=Path),
    metavar="FILE",
    help="Check only which methods of this suite can run here, and what they lack.",
)
@opts.as_json
def doctor(
    out: Path, tracking_uri: str, as_json: bool, weights: Sequence[str], suite: Path | None,
    **rest: Any,
) -> None:  # fmt: skip
    """Check this machine and show how to fix problems. Changes nothing.

    Exit code 3: a run would fail.
    """
    from harness.api.suites import load_suite
    from harness.cli.doctor import examine
    from harness.cli.suite_doctor import examine_suite
    from harness.execution.prepare import RunOptions
    from harness.resources import hash_cache
    from harness.tracking import address

    options = RunOptions(out=out, weights=weights_paths(weights), downloads=False, **rest)
    with hash_cache.read_only():
        if suite:
            loaded = load_suite(suite, "auto", (), options)
            _show(examine_suite(loaded, options), as_json=as_json)
        _show(examine(options, address.choose(out, tracking_uri)), as_json=as_json)


@click.command()
@opts.suite_arguments
@opts.device
@opts.encoder
@opts.sources
@opts.as_json
def fetch(
    suite: Path, profile: str, overrides: Iterable[str], as_json: bool, weights: Sequence[str],
    **rest: Any,
) -> None:  # fmt: skip
    """Download everything that a suite needs.

    Downloads images, encoders and the networks of metrics, and lists what is missing.
    Exit code 3: a file is missing or replaced by a stand-in.
    """
    from harness.api.suites import load_suite
    from harness.cli import tables
    from harness.cli.fetch import fetch as fetch_needs
    from harness.execution.prepare import RunOptions

    options = RunOptions(out=Path("runs"), weights=weights_paths(weights), **rest)
    needs = fetch_needs(load_suite(suite, profile, overrides, options), options)
    if as_json:
        opts.print_json(needs)
    else:
        tables.print_needs(opts.console(), needs)
    sys.exit(0 if all(need.real for need in needs) else opts.INCOMPLETE)


@click.command()
@click.argument("method")
@opts.as_json
def check(method: str, as_json: bool) -> None:
    """Test a method against the rules for methods.

    The rules cover sizes, seeds, steps and side effects. The test uses small images and an encoder
    with random weights. It covers the method's defaults and each of its presets. Exit code 3: the
    method breaks a rule.
    """
    from harness import conformance

    for fault in conformance.faults_of(method):
        click.echo(fault.traceback, err=True, nl=False)
    _show(conformance.examine(method), as_json=as_json)


@click.command()
@click.argument("suites", nargs=-1, metavar="[SUITE]...")
@opts.out
@click.option("--latest-only", is_flag=True,
              help="Keep only the files of each suite's latest run.")  # fmt: skip
@click.option("--unreadable", is_flag=True,
              help="Include cells that this version of nstbench cannot read.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Delete the files. By default, they are only listed.")
@opts.as_json
def gc(
    suites: Sequence[str],
    out: Path,
    *,
    latest_only: bool,
    unreadable: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """List files that no run refers to, and delete them with --yes.

    Applies to all suites in --out unless some are named. Files of the latest run are always kept;
    files of earlier runs are kept unless --latest-only is given. Nothing is deleted from MLflow.
    Exit code 2: a suite was left out because a run is active.
    """
    from harness.cli import tables
    from harness.store import gc

    garbage: dict[str, list[gc.GarbageGroup]] = {}
    exit_code = 0
    for store in (opts.store_of(name, out) for name in suites or gc.suites(out)):
        try:
            with gc.lock_or_raise(store, writing=yes):
                groups = gc.find(store, latest_only=latest_only, unreadable=unreadable)
                if yes:
                    gc.remove(store, groups)
                garbage[store.suite] = groups
        except NstbenchError as error:
            click.echo(str(error), err=True)
            exit_code = opts.WRONG_USE
    if as_json:
        rows = [
            {"suite": name, **asdict(group)} for name, groups in garbage.items() for group in groups
        ]
        click.echo(json.dumps(rows, indent=1, default=str))
    else:
        tables.print_garbage(opts.console(), garbage, removed=yes)
    sys.exit(exit_code)


def _show(findings: Iterable[Finding], *, as_json: bool) -> NoReturn:
    """Print findings and exit, with 3 if one of them is bad."""
    from harness.cli import tables

    shown = list(findings if as_json else tables.print_findings(opts.console(), findings))
    if as_json:
        opts.print_json(shown)
    sys.exit(opts.INCOMPLETE if any(finding.state == "bad" for finding in shown) else 0)
