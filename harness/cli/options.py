"""Options, exit codes and small helpers that several commands share."""

from __future__ import annotations

import json
import os.path
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click import Context, Parameter

from harness import filesystem
from harness.api.settings import DEFAULT_OUT, expand_location
from harness.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


F = TypeVar("F", bound=Callable[..., Any])
WRONG_USE, INCOMPLETE, INTERRUPTED = 2, 3, 130
"""Exit codes; 0 is success and 1 is an internal error."""


def combine(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return one decorator that adds several options, in the order of the help."""

    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


class NamedPath(click.ParamType[str]):
    """NAME=PATH; an environment variable holds several, separated as in PATH."""

    name = "NAME=PATH"
    envvar_list_splitter = os.pathsep


class ExpandedPath(click.Path):
    """A path whose leading `~` is replaced: shells leave it in `--out=~/x` and in variables."""

    def convert(self, value: Any, param: Parameter | None, ctx: Context | None) -> Any:
        """Replace the `~`, then check the path."""
        return super().convert(filesystem.expanded(value), param, ctx)


class Location(click.ParamType[str]):
    """A path, an address or a name; the leading `~` of a path is replaced."""

    name = "text"

    def convert(self, value: str, param: Parameter | None, ctx: Context | None) -> str:
        """Replace the `~`, also in the address of an SQLite database or of a folder."""
        return expand_location(value)


out = click.option(
    "--out", type=ExpandedPath(file_okay=False, path_type=Path), default=DEFAULT_OUT,
    envvar="NSTBENCH_OUT", show_default=True, help="Folder for all results.",
)  # fmt: skip
runs = click.option(
    "--runs", type=ExpandedPath(file_okay=False, path_type=Path), default=DEFAULT_OUT,
    envvar="NSTBENCH_OUT", show_default=True, metavar="DIR",
    help="Folder of all results, which is searched for fits.",
)  # fmt: skip
suite_arguments = combine(
    click.argument("suite", type=ExpandedPath(path_type=Path)),
    click.option("--profile", default="auto", show_default=True, envvar="NSTBENCH_PROFILE",
                 help="Profile of the suite. auto selects `quick` on a CPU and `full` on a GPU; "
                      "none selects no profile."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                 help="Override a value of the suite (--set sizes=[128]) or of a method "
                      "(--set gatys.iterations=50). Can be repeated."),
)  # fmt: skip
device = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|NAME",
    envvar="NSTBENCH_DEVICE",
    help="Run on a GPU or on the CPU. NAME is a part of the GPU's name.",
)  # fmt: skip
precision = click.option(
    "--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default=None,
    envvar="NSTBENCH_PRECISION",
    help="Precision of convolutions, instead of the suite's. auto selects bfloat16 on devices with "
         "fast bfloat16.",
)  # fmt: skip
encoder = click.option(
    "--encoder", default="", envvar="NSTBENCH_ENCODER",
    help="Encoder to use instead of the suite's: vgg19, vgg16, squeezenet1_1, alexnet, "
         "inception_v3, compact, random, random:SEED.",
)  # fmt: skip
sources = combine(
    click.option("--mirror", type=Location(), default="", metavar="DIR|URL",
                 envvar="NSTBENCH_MIRROR",
                 help="Folder or http(s) address with copies of images and weights."),
    click.option("--weights", multiple=True, type=NamedPath(), envvar="NSTBENCH_WEIGHTS",
                 help="File of pretrained weights for vgg19, vgg16, squeezenet1_1, alexnet or "
                      "inception_v3. Can be repeated; NSTBENCH_WEIGHTS separates several files "
                      f"with `{os.pathsep}`."),
    click.option("--offline", is_flag=True, envvar="NSTBENCH_OFFLINE",
                 help="Do not use the network."),
)  # fmt: skip
suite = combine(
    suite_arguments,
    out,
    device,
    precision,
    encoder,
    sources,
    click.option("--fresh", is_flag=True, help="Run all cells again, including finished ones."),
)  # fmt: skip
deterministic = click.option(
    "--deterministic", is_flag=True, envvar="NSTBENCH_DETERMINISTIC",
    help="Produce bitwise identical images each time this machine runs the suite with the same "
         "number of threads. Cells that were run without this option run again.",
)  # fmt: skip
executor = combine(
    click.option("--executor", type=click.Choice(["local", "ray"]), default="local",
                 show_default=True, envvar="NSTBENCH_EXECUTOR",
                 help="Run one cell at a time on this machine, or cells on all GPUs of a Ray "
                      "cluster."),
    click.option("--ray-address", default="", metavar="auto|HOST:PORT",
                 envvar="NSTBENCH_RAY_ADDRESS",
                 help="Address of a Ray cluster that this machine is part of. By default, a "
                      "cluster starts on this machine."),
    click.option("--gpus-per-worker", type=click.FloatRange(0, 1, min_open=True), default=1.0,
                 show_default=True, envvar="NSTBENCH_GPUS_PER_WORKER",
                 help="Share of a GPU for each Ray worker. Values below 1 require --batch-cells, "
                      "because workers on one GPU disturb each other's timing."),
)  # fmt: skip
tracking_uri = click.option(
    "--tracking-uri", type=Location(), default="", envvar="NSTBENCH_TRACKING_URI",
    help="MLflow server or database. Default: MLFLOW_TRACKING_URI, or else <out>/mlflow.db.",
)  # fmt: skip
no_mlflow = click.option(
    "--no-mlflow", is_flag=True, envvar="NSTBENCH_NO_MLFLOW", help="Do not log to MLflow."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def console() -> Console:
    """Return the console for tables, wide enough for log files."""
    from rich.console import Console

    # Without a terminal, Rich assumes 80 columns and would cut tables in log files.
    return Console() if sys.stdout.isatty() else Console(width=200)


def print_json(items: Iterable[Any]) -> None:
    """Print dataclasses as a JSON list."""
    click.echo(json.dumps([asdict(item) for item in items], indent=1))


def store_of(name: str, out: Path) -> Any:
    """Return the store of a suite, given its name or its file.

    Raises:
        UsageError: The name is empty or refers to a folder above.
    """
    from harness.store import Store

    suite = Path(name).name.removesuffix(".yaml")
    if suite in {"", ".", ".."}:
        raise UsageError(f"{name!r} is not the name of a suite.")
    return Store(out, suite)
