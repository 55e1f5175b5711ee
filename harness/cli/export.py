"""The command that writes trained networks for other programs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import options as opts
from harness.errors import ExportError


@click.command()
@click.argument("fit")
@click.option("-o", "--output", "target", required=True, metavar="FILE",
              type=opts.ExpandedPath(dir_okay=False, path_type=Path),
              help="File to write. Its suffix decides the format: .onnx, .pt (TorchScript) or "
                   ".pth (pytorch/examples).")  # fmt: skip
@click.option("--format", "form", default="", help="Format of a file with another suffix.",
              type=click.Choice(["", "onnx", "torchscript", "examples"]),
              metavar="onnx|torchscript|examples")  # fmt: skip
@opts.runs
def export(fit: str, target: Path, form: str, runs: Path) -> None:
    """Write the trained network of a fit as ONNX, as TorchScript or for pytorch/examples.

    FIT is the id of a fit or its beginning, a folder fits/<id> or a model.safetensors. The file is
    read again and compared with the network at sizes from 63 to 1025 pixels. Exit code 3: the
    network cannot be exported, or the file gives other images; it is not written then.
    """
    from harness.execution import export as exporting
    from harness.store.fits import find

    form = exporting.format_of(target, form)
    path = find(fit, runs).path
    try:
        network = exporting.StoredNetwork.load(path)
        click.echo(f"{path}: {network.recipe['method']} as {exporting.describe(form)}")
        for note in network.notes:
            click.echo(f"! {note}", err=True)
        largest = 0.0
        for size, difference in exporting.export(network, target, form):
            click.echo(f"  {size}: differs by {difference:.1e}")
            largest = max(largest, difference)
    except ExportError as error:
        click.echo(str(error), err=True)
        sys.exit(opts.INCOMPLETE)
    megabytes = target.stat().st_size / 1e6
    limit = exporting.MAX_DIFFERENCE
    click.echo(f"{target}: {megabytes:.1f} MB, largest difference {largest:.1e} (limit {limit})")
