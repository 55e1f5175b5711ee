"""The commands that exchange results with MLflow."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli import options as opts


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...")
@opts.out
@opts.tracking_uri
def sync(suites: Sequence[str], out: Path, tracking_uri: str) -> None:
    """Update MLflow with all stored results. Safe to repeat."""
    from harness.store import redact
    from harness.tracking import address
    from harness.tracking.tracker import Tracker

    uri = address.resolve(out, tracking_uri)
    for name in suites:
        store = opts.store_of(name, out)
        finished = store.run()
        records = list(store.records(finished))
        address.announce_migration(uri, _warn)
        tracker = Tracker(store, uri, verify=True)
        for record in records:
            tracker.cell(record)
        tracker.variants(records)
        if paths := store.page_paths():
            tracker.report(finished, records, paths)
        click.echo(f"{name}: {len(records)} cells at {redact(uri)}, {tracker.sent} runs sent")


@click.command()
@click.argument("experiment")
@opts.out
@click.option("--tracking-uri", type=opts.Location(), default="", envvar="NSTBENCH_TRACKING_URI",
              help="MLflow server or database. Default: MLFLOW_TRACKING_URI.")  # fmt: skip
def pull(experiment: str, out: Path, tracking_uri: str) -> None:
    """Download results of a suite from MLflow and render the page.

    Safe to repeat. EXPERIMENT is the suite's name. Finished cells of the local store are not
    replaced, and `run` continues from the combined results. Invalid data is left out and reported.
    Exit code 3: some data was left out.
    """
    from harness.store.lock import lock_suite
    from harness.tracking import address, pull
    from reports import page

    store = opts.store_of(experiment, out)
    uri = pull.tracking_uri(out, tracking_uri)
    address.announce_migration(uri, _warn)
    remote = pull.Remote(store.suite, uri)
    with lock_suite(store.root, lambda holder: click.echo(f"! waiting: {holder} runs this suite")):
        pulled = pull.pull(remote, store)
        path = page.write(store) if store.start_times() else None
    for line in pulled.lines(store.suite):
        click.echo(line)
    if path:
        click.echo(f"page    {path}, of the run of {store.run().started[:19]} UTC")
    sys.exit(opts.INCOMPLETE if pulled.left_out else 0)


@click.command()
@opts.out
@opts.tracking_uri
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True,
              help="Port on 127.0.0.1.")  # fmt: skip
def ui(out: Path, tracking_uri: str, port: int) -> None:
    """Start the MLflow UI for the results on 127.0.0.1."""
    from harness.api import interrupts
    from harness.tracking import address, ui

    uri = address.resolve(out, tracking_uri)
    ui.check(uri, port)
    address.announce_migration(uri, _warn)
    for title, link in ui.links(uri, port):
        click.echo(f"{title}\n  {link}")
    click.echo("The UI is available after a few seconds. Press Ctrl-C to stop it.")
    interrupts.raise_on_termination()
    sys.exit(ui.serve(uri, port))


def _warn(text: str) -> None:
    click.echo(f"! {text}", err=True)
