"""The command line, and the only module that sees everything.

Imports that cost time are inside the commands: `nstbench --help` answers at once.
"""

from __future__ import annotations

import json
import math
import os.path
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from harness import filesystem
from harness.errors import NstbenchError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from harness.analysis.claims import ClaimRow
    from harness.cli.display import Display
    from harness.cli.run_loop import RunOptions
    from harness.execution.executors.ray.cluster import Cluster
    from harness.execution.prepare import Options, ReadyRun
    from harness.registry.diagnostics import Finding
    from harness.suite import Suite

F = TypeVar("F", bound=Callable[..., Any])
INTERNAL, WRONG_USE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130


class Commands(click.Group):
    """Prints errors of ours plainly; anything else is a bug and keeps its traceback."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command and turn its errors into messages and exit codes."""
        try:
            return super().invoke(context)
        except NstbenchError as error:
            click.echo(str(error), err=True)
            sys.exit(WRONG_USE)
        except OSError as error:  # of a disk that nobody expected to be written
            if not (message := filesystem.describe_os_error(error)):
                raise
            click.echo(message, err=True)
            filesystem.drop_output()
            sys.exit(WRONG_USE)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)


@click.group(
    cls=Commands, context_settings={"auto_envvar_prefix": "NSTBENCH", "max_content_width": 100}
)
@click.version_option(package_name="nstbench", message="nstbench %(version)s")
def main() -> None:
    """Benchmark neural style transfer: which change matters, by how much, at what cost.

    Exit codes: 0 all well; 1 internal error; 2 wrong use or suite, or a disk that refuses; 3 some
    cells failed or were skipped, the rest is fine; 130 interrupted. Options can be set as
    NSTBENCH_<OPTION>.
    """


def _out_option(function: F) -> F:
    return click.option(
        "--out", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"),
        envvar="NSTBENCH_OUT", show_default=True, help="Folder of all results.",
    )(function)  # fmt: skip


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def apply(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return apply


_suite_arguments = _options(
    click.argument("suite", type=click.Path(path_type=Path)),
    click.option("--profile", default="auto", show_default=True, envvar="NSTBENCH_PROFILE",
                 help="A profile of the suite; auto is quick on a CPU and full on a GPU; "
                      "none is the suite as it stands."),
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
                 help="Override a value of the suite: --set sizes=[128], or of a method: "
                      "--set gatys.iterations=50."),
)  # fmt: skip
_device_option = click.option(
    "--device", default="auto", show_default=True, metavar="auto|cpu|cuda|NAME",
    envvar="NSTBENCH_DEVICE", help="Where to compute; NAME is a part of a GPU's.",
)  # fmt: skip
_encoder_option = click.option(
    "--encoder", default="", envvar="NSTBENCH_ENCODER",
    help="Insist on an encoder: vgg19, vgg16, squeezenet1_1, alexnet, inception_v3, compact, "
         "random, random:SEED.",
)  # fmt: skip
_source_options = _options(
    click.option("--mirror", default="", metavar="DIR|URL", envvar="NSTBENCH_MIRROR",
                 help="Copies of images and weights: a folder, or an http(s) address."),
    click.option("--weights", multiple=True, metavar="NAME=PATH", envvar="NSTBENCH_WEIGHTS",
                 help="Pretrained weights of your own: vgg19, vgg16, squeezenet1_1, alexnet, "
                      "inception_v3."),
    click.option("--offline", is_flag=True, envvar="NSTBENCH_OFFLINE",
                 help="Never touch the network."),
)  # fmt: skip
_suite_options = _options(
    _suite_arguments,
    _out_option,
    _device_option,
    click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), default=None,
                 envvar="NSTBENCH_PRECISION",
                 help="Of convolutions, else the suite's; auto takes bfloat16 where it is fast."),
    _encoder_option,
    _source_options,
    click.option("--fresh", is_flag=True, help="Run again what is done already."),
)  # fmt: skip
_deterministic_option = click.option(
    "--deterministic", is_flag=True, envvar="NSTBENCH_DETERMINISTIC",
    help="The same images, bit by bit, whenever this machine makes them with as many threads; "
         "what was made without is made again.",
)  # fmt: skip
_executor_options = _options(
    click.option("--executor", type=click.Choice(["local", "ray"]), default="local",
                 show_default=True, envvar="NSTBENCH_EXECUTOR",
                 help="One cell at a time on this machine, or on all GPUs that Ray has."),
    click.option("--ray-address", default="", metavar="auto|HOST:PORT",
                 envvar="NSTBENCH_RAY_ADDRESS",
                 help="Of a Ray cluster that this machine is part of; else one of its own here."),
    click.option("--gpus-per-worker", type=click.FloatRange(0, 1, min_open=True), default=1.0,
                 show_default=True, envvar="NSTBENCH_GPUS_PER_WORKER",
                 help="Of a GPU that each of Ray's workers takes; less than 1 only with "
                      "--batch-cells: they disturb each other's clocks."),
)  # fmt: skip
_tracking_option = click.option(
    "--tracking-uri", default="", envvar="NSTBENCH_TRACKING_URI",
    help="MLflow; else MLFLOW_TRACKING_URI, else <out>/mlflow.db.",
)  # fmt: skip
_json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@main.command()
@_suite_options
@_deterministic_option
@_executor_options
@_tracking_option
@click.option("--no-mlflow", is_flag=True, envvar="NSTBENCH_NO_MLFLOW", help="Leave MLflow out.")
@click.option(
    "--batch-cells",
    type=click.IntRange(min=1),
    default=1,
    is_flag=False,
    flag_value=8,
    envvar="NSTBENCH_BATCH_CELLS",
    metavar="[N]",
    help="Up to N cells (8) of a variant in one batch: more images an hour; times are shared out.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    envvar="NSTBENCH_TIMEOUT",
    help="A cell may take so long, its fit included.",
)
@click.option(
    "--max-failures",
    default="",
    metavar="N|P%",
    envvar="NSTBENCH_MAX_FAILURES",
    help="End the run when so many cells have failed.",
)
@click.option("--fail-fast", is_flag=True, help="End it at the first: --max-failures 1.")
def run(
    tracking_uri: str, no_mlflow: bool, batch_cells: int, timeout: float | None, max_failures: str,
    executor: str, ray_address: str, gpus_per_worker: float, *, fail_fast: bool, **options: Any,
) -> None:  # fmt: skip
    """Run a suite: stylize, measure, log to MLflow, render the page.

    Cells that are done already are not run again. Ctrl-C ends it after the running cell, a second
    Ctrl-C at once; either way the same command goes on from there.
    """
    if batch_cells > 1 and options["deterministic"]:
        raise UsageError(
            f"--batch-cells {batch_cells} does not go with --deterministic: in a batch an image is "
            "not what it is alone, bit by bit, and which cells share a batch depends on what is "
            "done already. Leave out one of them."
        )
    if batch_cells == 1 and gpus_per_worker < 1:
        raise UsageError(
            f"--gpus-per-worker {gpus_per_worker:g} is for --batch-cells alone: workers that share "
            "a GPU disturb each other's clocks, and timed cells have a whole one."
        )
    from harness.cli import run_loop

    fleet = _fleet(executor, ray_address, gpus_per_worker, options)

    def rules(prepared: ReadyRun) -> RunOptions:
        failures = 1 if fail_fast else _failures(max_failures, len(prepared.plan.todo))
        where = run_loop.on_this_machine if fleet is None else run_loop.on_cluster(fleet)
        return run_loop.RunOptions(batch_cells, timeout, failures, where)

    _carry_out(options, rules, tracking_uri, no_mlflow=no_mlflow, fleet=fleet)


@main.command()
@_suite_options
@_tracking_option
@click.option("--no-mlflow", is_flag=True, envvar="NSTBENCH_NO_MLFLOW", help="Leave MLflow out.")
def rescore(tracking_uri: str, no_mlflow: bool, **options: Any) -> None:
    """Score stored images again where a metric is new or its version rose; stylizes nothing."""
    from harness.cli.run_loop import RunOptions

    _carry_out(options, lambda _: RunOptions(), tracking_uri, no_mlflow=no_mlflow, only_score=True)


def _carry_out(
    options: Mapping[str, Any], rules: Callable[[ReadyRun], RunOptions], tracking_uri: str,
    *, no_mlflow: bool, only_score: bool = False, fleet: Cluster | None = None,
) -> None:  # fmt: skip
    from harness.cli.display import Display
    from harness.store.lock import lock_suite
    from harness.tracking.tracker import tracking_uri as resolve

    def ready() -> ReadyRun:
        prepared = _prepare(**options, hardware=fleet.hardware if fleet else None)
        plan = replace(prepared.plan, scores_only=only_score)
        return replace(prepared, plan=plan)

    prepared = ready()
    shown = Display(_console())
    with lock_suite(prepared.store.root, shown.waits) as waited:
        if waited:
            prepared = ready()  # much is done by now
        shown.announce(prepared, fleet)
        if not prepared.plan.entries:
            raise UsageError("Nothing of this suite can run here; the reasons stand above.")
        out = prepared.store.root.parent
        uri = "" if no_mlflow else resolve(out, tracking_uri)
        sys.exit(_run_and_show(prepared, rules(prepared), shown, uri))


def _run_and_show(prepared: ReadyRun, rules: RunOptions, shown: Display, uri: str) -> int:
    """Run what there is to run, write the page, tell; return the exit code."""
    from harness.cli import display, run_loop
    from harness.cli.interrupts import InterruptHandler
    from harness.execution.machine import environment
    from harness.tracking.background_thread import BackgroundTracker

    prepared.store.begin()
    mirror, console = BackgroundTracker(prepared.store, uri, shown.warn), shown.console
    try:
        with InterruptHandler(shown.stops) as stopping:
            begun = prepared.run_record(command=_command(), started=environment.now(), tracking=uri)
            finished = run_loop.run_cells(prepared, shown, mirror, begun, rules, stopping)
            paths = _write_page(prepared)
            records = list(prepared.store.records(finished))
            mirror.summary(finished, records, paths, shown.waiting_for_mlflow)
    except KeyboardInterrupt:
        shown.interrupted(mirror.stop())
        return INTERRUPTED
    except NstbenchError:
        mirror.stop()
        raise
    console.print(display.results_table(records))
    failed = sum(not record.ok for record in records)
    if failed or prepared.plan.skipped:
        console.print(f"[yellow]{failed} failed, {len(prepared.plan.skipped)} skipped; "
                      "the page has the reasons.[/]", highlight=False)  # fmt: skip
    _closing_lines(console, prepared, uri if mirror.working else "", paths[0])
    if stopping.asked:
        shown.interrupted()
        return INTERRUPTED
    return INCOMPLETE if failed or prepared.plan.skipped or not finished.finished else 0


def _failures(text: str, cells: int) -> int | None:
    """Read how many cells may fail: a number, or a percentage of those to run, at least one."""
    number = text.removesuffix("%")
    if not text:
        return None
    if not number.isdecimal() or not int(number):
        raise UsageError(f"--max-failures {text} is neither a number from 1 on nor a percentage.")
    return math.ceil(int(number) / 100 * cells) if text.endswith("%") else int(number)


@main.command()
@_suite_options
@_deterministic_option
@_executor_options
@click.option("--explain", is_flag=True, help="Say of each cell why it runs.")
@_json_option
def plan(
    executor: str,
    ray_address: str,
    gpus_per_worker: float,
    *,
    explain: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Show what `run` would do, and why, without doing it."""
    from harness.cli import display
    from harness.plan import explained

    fleet = _fleet(executor, ray_address, gpus_per_worker, options)
    prepared = _prepare(**options, hardware=fleet.hardware if fleet else None)
    if as_json:
        click.echo(json.dumps(_plan_json(prepared), indent=1))
        return
    display.Display(_console()).announce(prepared, fleet)
    why = explained(prepared.plan, prepared.store.all_records()) if explain else None
    click.echo("\n".join(display.entry_lines(prepared.plan, why)))


@main.command()
@_suite_arguments
@_device_option
@_encoder_option
@_source_options
@_json_option
def fetch(
    suite: Path, profile: str, overrides: Iterable[str], as_json: bool, weights: Sequence[str],
    **rest: Any,
) -> None:  # fmt: skip
    """Get all that a suite needs, ahead of time: images, encoders, what scores look through.

    Ends with 3 where something is missing or stood in for.
    """
    from harness.cli import display
    from harness.cli.fetch import fetch as get
    from harness.execution.prepare import Options

    options = Options(out=Path("runs"), weights=_weights(weights), **rest)
    needs = get(_load(suite, profile, overrides, options), options)
    if as_json:
        click.echo(json.dumps([asdict(need) for need in needs], indent=1))
    else:
        display.print_needs(_console(), needs)
    sys.exit(0 if all(need.real for need in needs) else INCOMPLETE)


@main.command()
@_out_option
@_device_option
@_source_options
@_tracking_option
@_json_option
def doctor(
    out: Path, tracking_uri: str, as_json: bool, weights: Sequence[str], **rest: Any
) -> None:
    """Say what this machine has and lacks, and what to do about it; changes nothing.

    Ends with 3 where something would fail.
    """
    from harness.cli.doctor import examine
    from harness.execution.prepare import Options
    from harness.tracking import tracker as tracking

    options = Options(out=out, weights=_weights(weights), **rest)
    _tell(examine(options, tracking.tracking_uri(out, tracking_uri)), as_json=as_json)


@main.command()
@click.argument("method")
@_json_option
def check(method: str, as_json: bool) -> None:
    """Try a method against what every method keeps to: sizes, seeds, steps, manners.

    It runs on small images with an encoder of random weights, by its defaults and by each of its
    presets. Ends with 3 where something is wrong.
    """
    from harness import conformance

    for fault in conformance.faults_of(method):
        click.echo(fault.traceback, err=True, nl=False)
    _tell(conformance.examine(method), as_json=as_json)


@main.command()
@click.argument("suites", nargs=-1, required=True, metavar="SUITE...")
@_out_option
@click.option("--folder", is_flag=True, help="As a folder, lossless images beside the page.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def report(suites: Sequence[str], out: Path, *, folder: bool, show: bool) -> None:
    """Render the page again from what is stored; needs neither torch nor MLflow.

    Several suites, or moments of one, come on one page, in the folder of all results. SUITE is a
    name, a folder of results, or either as it was: artists~1 is the run before the latest,
    artists@2026-11-20 the last run by the end of that day (UTC).
    """
    import webbrowser

    from harness.store import revisions
    from reports import page

    found = revisions.find_all(suites, out)
    stores = {label: moment.store for label, moment in found.items()}
    if len(suites) == 1 and all(moment.latest for moment in found.values()):
        path = (page.write_folder if folder else page.write)(*stores.values())
    else:
        target = revisions.page_path(out, [*found], folder=folder)
        path = (page.write_folder_about if folder else page.write_about)(stores, target)
    click.echo(path)
    if show and not webbrowser.open(path.resolve().as_uri()):
        click.echo("No browser could be started; open the file yourself.", err=True)


_format_option = click.option(
    "--format", "form", type=click.Choice(["table", "markdown", "csv", "latex", "json"]),
    default="table", show_default=True, help="How to write it.",
)  # fmt: skip


@main.command()
@click.argument("suite")
@_out_option
@_format_option
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def claims(suite: str, out: Path, form: str) -> None:
    """Judge the claims of a suite by what is stored: effect, interval, verdict.

    SUITE may be a moment or a folder, as for `report`.
    Ends with 3 where a control failed: then no verdict is to be trusted.
    """
    from harness.analysis.claims import ClaimDataset, evaluate_claims, failed_controls

    found = ClaimDataset.of(_moment(suite, out))
    if not found.run.claims:
        raise UsageError(f"{suite} makes no claims. `nstbench compare {suite}` compares variants.")
    rows = evaluate_claims(found.frame, found.run.claims, found.lenses)
    _show_rows(rows, form)
    sys.exit(INCOMPLETE if failed_controls(rows) else 0)


@main.command()
@click.argument("suite")
@_out_option
@click.option("--by", default="", metavar="FACTOR",
              help="A parameter that the suite varies: its levels are compared, all else equal. "
                   "Without it, variants are compared as they stand.")  # fmt: skip
@click.option("--metric", "metrics", multiple=True, metavar="NAME",
              help="A score or a cost; all scores unless given.")  # fmt: skip
@click.option("--baseline", default="", help="What the others are compared with; the first there.")
@click.option("--variance", is_flag=True,
              help="Instead: what scores owe their differences to.")  # fmt: skip
@_format_option
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def compare(
    suite: str, out: Path, by: str, metrics: Sequence[str], baseline: str, form: str,
    *, variance: bool,
) -> None:  # fmt: skip
    """Compare variants, or the levels of one factor: is it better, and how sure is that?

    SUITE may be a moment or a folder, as for `report`.
    """
    from harness.analysis.claims import ClaimDataset, compared, evaluate_claims, shares

    found = ClaimDataset.of(_moment(suite, out))
    if variance:
        click.echo(shares(found.frame, found.metrics(metrics)).map("{:.0%}".format).to_string())
        return
    made = compared(found.frame, found.metrics(metrics), by=by, baseline=baseline)
    _show_rows(evaluate_claims(found.frame, made, found.lenses, exploratory=True), form)


@main.command(name="list")
@click.argument("kind", type=click.Choice(["methods", "metrics", "suites", "presets"]))
@_json_option
def list_(kind: str, as_json: bool) -> None:
    """List what there is, with parameters and their defaults.

    What other packages bring and cannot be used is told on stderr.
    """
    from harness.cli import listing

    found = listing.of(kind)
    for fault in listing.unusable(kind):
        click.echo(f"! {fault}", err=True)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for name, facts in found.items():
        click.secho(name, bold=True, nl=False)
        click.echo(f"  {facts.pop('about', '')}")
        for key, value in facts.items():
            click.echo(f"    {key} = {value}")


@main.command()
@click.argument("suites", nargs=-1, required=True)
@_out_option
@_tracking_option
def sync(suites: Sequence[str], out: Path, tracking_uri: str) -> None:
    """Bring MLflow up to date with what is stored; safe to repeat."""
    from harness.tracking.tracker import Tracker
    from harness.tracking.tracker import tracking_uri as resolve

    for name in suites:
        store = _store(name, out)
        finished = store.run()
        records = list(store.records(finished))
        tracker = Tracker(store, resolve(out, tracking_uri), verify=True)
        for record in records:
            tracker.cell(record)
        tracker.variants(records)
        if paths := store.page_paths():
            tracker.report(finished, records, paths)
        click.echo(f"{name}: {len(records)} cells at {tracker.uri}, {tracker.sent} runs sent")


@main.command()
@click.argument("experiment")
@_out_option
@click.option("--tracking-uri", default="", envvar="NSTBENCH_TRACKING_URI",
              help="MLflow; else MLFLOW_TRACKING_URI.")  # fmt: skip
def pull(experiment: str, out: Path, tracking_uri: str) -> None:
    """Take from MLflow what anyone has done of a suite, and render the page; safe to repeat.

    EXPERIMENT is the suite's name. Finished cells that are here already stay as they are, and `run`
    goes on from all of them. Whatever is broken is left out and named.
    Ends with 3 where something was left out.
    """
    from harness.store.lock import lock_suite
    from harness.tracking import pull
    from reports import page

    store = _store(experiment, out)
    remote = pull.Remote(store.suite, pull.tracking_uri(out, tracking_uri))
    with lock_suite(store.root, lambda holder: click.echo(f"! {holder} runs this suite; waiting")):
        pulled = pull.pull(remote, store)
        path = page.write(store) if store.start_times() else None
    for line in pulled.lines(store.suite):
        click.echo(line)
    if path:
        click.echo(f"page    {path}, of the run of {store.run().started[:19]} UTC")
    sys.exit(INCOMPLETE if pulled.left_out else 0)


@main.command()
@click.argument("suites", nargs=-1, metavar="[SUITE]...")
@_out_option
@click.option("--latest-only", is_flag=True, help="Only the latest run of each suite counts.")
@click.option("--unreadable", is_flag=True, help="Cells that this version cannot read, too.")
@click.option("--yes", is_flag=True, help="Free it; otherwise it is only shown.")
@_json_option
def gc(
    suites: Sequence[str],
    out: Path,
    *,
    latest_only: bool,
    unreadable: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show what no run of a suite refers to any more, and free it with --yes.

    Of all suites in --out, unless some are named. What the latest run refers to is always kept, and
    so is what earlier runs do, unless --latest-only is given. MLflow keeps what it has.
    Ends with 2 where a run is at work on a suite, which is left alone then.
    """
    from harness.cli import display
    from harness.store import gc

    found: dict[str, list[gc.GarbageGroup]] = {}
    wrong = 0
    for store in (_store(name, out) for name in suites or gc.suites(out)):
        try:
            with gc.lock_or_raise(store, writing=yes):
                heaps = gc.find(store, latest_only=latest_only, unreadable=unreadable)
                if yes:
                    gc.remove(store, heaps)
                found[store.suite] = heaps
        except NstbenchError as error:
            click.echo(str(error), err=True)
            wrong = WRONG_USE
    if as_json:
        rows = [{"suite": name, **asdict(heap)} for name, heaps in found.items() for heap in heaps]
        click.echo(json.dumps(rows, indent=1, default=str))
    else:
        display.print_heaps(_console(), found, removed=yes)
    sys.exit(wrong)


@main.command()
@_out_option
@_tracking_option
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True,
              help="On 127.0.0.1.")  # fmt: skip
def ui(out: Path, tracking_uri: str, port: int) -> None:
    """Start the MLflow UI on the results, at 127.0.0.1."""
    from harness.cli import interrupts as stopping
    from harness.tracking import ui
    from harness.tracking.tracker import tracking_uri as resolve

    uri = resolve(out, tracking_uri)
    ui.check(uri, port)
    for what, link in ui.links(uri, port):
        click.echo(f"{what}\n  {link}")
    click.echo("The UI answers in some seconds; Ctrl-C ends it.")
    stopping.as_ctrl_c()
    sys.exit(ui.serve(uri, port))


def _tell(findings: Iterable[Finding], *, as_json: bool) -> NoReturn:
    from harness.cli import display

    told = list(findings if as_json else display.showing(_console(), findings))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in told], indent=1))
    sys.exit(INCOMPLETE if any(finding.state == "bad" for finding in told) else 0)


def _fleet(
    executor: str, ray_address: str, share: float, options: Mapping[str, Any]
) -> Cluster | None:
    """Return the nodes of a cluster, unless cells are to run on this machine."""
    if executor == "local":
        if ray_address:
            raise UsageError(f"--ray-address {ray_address} is for --executor ray.")
        return None
    from harness import suite as suites
    from harness.execution.executors.ray import cluster

    suites.load(_suite_file(options["suite"]), "", options["overrides"])  # sooner than a cluster
    return cluster.select_nodes(cluster.connect(ray_address), options["device"], share)


def _prepare(
    suite: Path, profile: str, overrides: Iterable[str], mirror: str,
    weights: Sequence[str], **rest: Any,
) -> ReadyRun:  # fmt: skip
    from harness.execution.prepare import Options, prepare

    rest["precision"] = rest["precision"] or ""
    options = Options(mirror=mirror, weights=_weights(weights), **rest)
    return prepare(_load(suite, profile, overrides, options), options)


def _load(path: Path, profile: str, overrides: Iterable[str], options: Options) -> Suite:
    from harness import suite as suites
    from harness.suite import yaml_loader

    path = _suite_file(path)
    if profile == "auto":
        data, _ = yaml_loader.load(path)
        profiles = data.get("profiles") if isinstance(data, dict) else None
        wanted = "quick" if options.found_device == "cpu" else "full"
        profile = wanted if isinstance(profiles, dict) and wanted in profiles else "none"
    return suites.load(path, "" if profile == "none" else profile, overrides)


def _suite_file(path: Path) -> Path:
    """Take a path, or the name of a suite that comes with nstbench."""
    import suites as packaged

    inside = {p.stem: p for p in sorted(Path(packaged.__path__[0]).glob("*.yaml"))}
    if os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a name is too long
        return path
    name = path.name.removesuffix(".yaml")
    if name in inside and path.name in {str(path), f"{name}.yaml"}:
        return inside[name]
    raise UsageError(f"There is no suite {path}. nstbench comes with {', '.join(inside)}.")


def _weights(given: Sequence[str]) -> dict[str, Path]:
    found = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals:
            raise UsageError(f"--weights {text} has no `=`. Write --weights vgg19=PATH.")
        found[name] = Path(path)
    return found


def _store(name: str, out: Path) -> Any:
    from harness.store import Store

    suite = Path(name).name.removesuffix(".yaml")
    if suite in {"", ".", ".."}:
        raise UsageError(f"{name!r} names no suite.")
    return Store(out, suite)


def _moment(name: str, out: Path) -> Any:
    from harness.store import revisions

    return revisions.find(name, out).store


def _show_rows(rows: Sequence[ClaimRow], form: str) -> None:
    from harness.analysis.claims import export
    from harness.cli import claims_table

    if form == "table":
        claims_table.show(_console(), rows)
    else:
        click.echo(export.FORMATS[form](rows))


def _write_page(prepared: ReadyRun) -> list[Path]:
    from reports import page

    page.write(prepared.store)
    return prepared.store.page_paths()


def _console() -> Console:
    from rich.console import Console

    # Rich takes 80 columns where there is no terminal, and would cut tables in log files.
    return Console() if sys.stdout.isatty() else Console(width=200)


def _command() -> str:
    import shlex

    return shlex.join(["nstbench", *sys.argv[1:]])


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


def _closing_lines(console: Console, prepared: ReadyRun, uri: str, page: Path) -> None:
    if uri:
        out = prepared.store.root.parent
        command = "nstbench ui" + ("" if out == Path("runs") else f" --out {out}")
        where = uri if uri.startswith("http") else f"{command}   ({uri})"
        console.print(f"MLflow  {where}", highlight=False, soft_wrap=True)
    console.print(f"page    {page}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
