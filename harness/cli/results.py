"""The commands that read stored results: the page, the claims, comparisons."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options as opts
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.analysis.claims import ClaimRow

_format_options = opts.combine(
    click.option("--format", "form", default="table", show_default=True,
                 type=click.Choice(["table", "markdown", "csv", "latex", "json"]),
                 help="Output format."),
    click.option("--json", "form", flag_value="json", help="Same as --format json."),
)  # fmt: skip


@click.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...", type=opts.Location())
@opts.out
@click.option("--folder", is_flag=True,
              help="Write a folder: the page with lossless images beside it.")  # fmt: skip
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
def report(suites: Sequence[str], out: Path, *, folder: bool, open_: bool) -> None:
    """Render the page from stored results.

    Requires neither torch nor MLflow.

    SUITE is the name of a suite or a folder of results, optionally with a revision: artists~1 is
    the run before the latest one, artists@2026-11-20 is the last run that started by the end of
    that day (UTC). Several suites or revisions are rendered as one page in the --out folder.
    """
    import webbrowser

    from harness.api.comparison import write_page
    from harness.store import revisions

    path = write_page(revisions.find_all(suites, out), out, folder=folder)
    click.echo(path)
    if open_ and not webbrowser.open(path.resolve().as_uri()):
        click.echo(f"No browser could be started. Open {path} manually.", err=True)


@click.command()
@click.argument("suite", type=opts.Location(), metavar="SUITE")
@opts.out
@_format_options
def claims(suite: str, out: Path, form: str) -> None:
    """Evaluate the claims of a suite on stored results.

    Prints effect, interval and verdict. SUITE can have a revision, as for `report`. Exit code 3: a
    control failed, so that no verdict is reliable.
    """
    from harness.analysis.claims import failed_controls
    from harness.api.comparison import claim_rows
    from harness.store import revisions

    rows = claim_rows(revisions.find(suite, out))
    _show_rows(rows, form)
    sys.exit(opts.INCOMPLETE if failed_controls(rows) else 0)


@click.command()
@click.argument("suite", type=opts.Location(), metavar="SUITE")
@opts.out
@click.option("--by", default="", metavar="FACTOR",
              help="Compare the levels of this parameter of the suite, all else equal. By "
                   "default, variants are compared.")  # fmt: skip
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="Score or cost to compare; can be repeated. By default, all scores.",
)  # fmt: skip
@click.option("--baseline", default="",
              help="Level or variant to compare with. By default, the first one.")  # fmt: skip
@click.option("--variance", is_flag=True,
              help="Show instead which share of each score's variance each factor explains.",
)  # fmt: skip
@_format_options
def compare(
    suite: str, out: Path, by: str, metrics: Sequence[str], baseline: str, form: str,
    *, variance: bool,
) -> None:  # fmt: skip
    """Compare variants, or the levels of one factor.

    Prints effect, interval and verdict. SUITE can have a revision, as for `report`.
    """
    from harness.api.comparison import comparison_rows
    from harness.store import revisions

    if not variance:
        found = revisions.find(suite, out)
        rows = comparison_rows(found, by=by, metrics=metrics, baseline=baseline)
        _show_rows(rows, form)
    elif by or baseline:
        raise UsageError(
            f"{f'--by {by}' if by else f'--baseline {baseline}'} cannot be combined with "
            "--variance, which splits the variance of all variants. Leave out one of the two."
        )
    else:
        _show_shares(suite, out, metrics, form)


def _show_shares(suite: str, out: Path, names: Sequence[str], form: str) -> None:
    from harness.analysis.claims import ClaimDataset, check_comparable, export, shares
    from harness.store import revisions

    dataset = ClaimDataset.of(revisions.find(suite, out).store)
    metrics = dataset.metrics(names)
    check_comparable(dataset, metrics, variance=True)
    found = shares(dataset.frame, metrics)
    if lacking := [name for name in metrics if name not in found.index]:
        message = (
            f"The variance of {', '.join(lacking)} cannot be split: fewer than two styles or two "
            "contents have a value for every variant. `nstbench report "
            f"{dataset.run.suite}` shows which cells failed; to try them again, run "
            f"`{dataset.command}`."
        )
        if found.empty:
            raise UsageError(message)
        click.echo(f"! {message}", err=True)
    click.echo(export.shares_as(form, found))


def _show_rows(rows: Sequence[ClaimRow], form: str) -> None:
    from harness.analysis.claims import export
    from harness.cli import tables

    if form == "table":
        tables.print_claims(opts.console(), rows)
    else:
        click.echo(export.FORMATS[form](rows))
