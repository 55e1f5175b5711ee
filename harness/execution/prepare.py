"""Find everything that a suite needs before anything runs: images, weights, networks, the plan."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import encoders, plan
from harness.errors import (
    ImageError,
    MissingWeightsError,
    SourceError,
    SuiteError,
    UnknownNameError,
    UsageError,
    WeightsError,
)
from harness.execution.batching import group_into_batches
from harness.execution.jobs import Job
from harness.execution.machine import environment
from harness.execution.resource_warnings import resource_warnings
from harness.execution.scoring import blank_score
from harness.plan import Entry, Plan, Resources
from harness.records import Cell, EncoderUse, ImageUse, Record, Run
from harness.registry import METHODS, settings
from harness.resources import precision
from harness.resources.devices import Hardware, find_device
from harness.resources.downloads import Network
from harness.resources.images import ImageStore, to_png
from harness.resources.mirror import open_mirror
from harness.resources.training_images import TrainingSet
from harness.resources.weights import WeightsStore
from harness.store import Store
from harness.suite import Suite

NO_DOWNLOADS = "this command downloads nothing, `nstbench fetch` does"


@dataclass(frozen=True)
class RunOptions:
    """What the command line says: where to run, where to look for resources, when to give up."""

    out: Path
    device: str = "auto"
    precision: str = ""  # empty: the suite's
    encoder: str = ""  # empty: the suite's
    mirror: str = ""  # a folder, or an http(s) address
    weights: Mapping[str, Path] | None = None
    offline: bool = False
    downloads: bool = True  # False for commands that only report
    fresh: bool = False
    deterministic: bool = False
    hardware: Hardware | None = None  # of a cluster's nodes; None for this machine
    batch_cells: int = 1  # cells that may run in one batch; more than one is for throughput
    timeout: float | None = None  # seconds that a cell may take, its fit included
    max_failures: str = ""  # a number or a percentage of failed cells that ends the run
    allow_commands: bool = False  # methods may start the programs that a suite names

    def __post_init__(self) -> None:
        """Raise UsageError if max_failures is neither a number nor a percentage."""
        number = self.max_failures.removesuffix("%")
        if self.max_failures and (not number.isdecimal() or not int(number)):
            raise UsageError(
                f"--max-failures {self.max_failures} is neither a positive whole "
                "number nor a percentage such as 10%."
            )

    @property
    def found_device(self) -> str:
        """The device of the cells: `cpu`, or a GPU's name."""
        return self.hardware.device if self.hardware else find_device(self.device)

    def failure_limit(self, cells: int) -> int | None:
        """Return how many failures end a run of so many cells; None if it never ends early."""
        if not self.max_failures:
            return None
        number = int(self.max_failures.removesuffix("%"))
        percentage = self.max_failures.endswith("%")
        return math.ceil(number / 100 * cells) if percentage else number


@dataclass(frozen=True)
class ReadyRun:
    """A suite with its resources and its plan, ready to run."""

    suite: Suite
    options: RunOptions
    resources: Resources
    plan: Plan
    images: ImageStore
    store: Store
    warnings: tuple[str, ...]

    def batches(self) -> Iterator[list[Job]]:
        """Yield the jobs in batches, the cells of one fit one after the other.

        A batch has one job unless `batch_cells` allows more: then each cell is timed alone.

        Raises:
            UsageError: Cells would start programs that the options do not allow.
        """
        self.check_programs()
        for entries in group_into_batches(self.plan.todo, self.options.batch_cells):
            yield [self._job(entry) for entry in entries]

    def _job(self, entry: Entry) -> Job:
        cell = entry.cell
        record = self.store.read(cell.id) if entry.action == "score" else None
        return Job(
            cell,
            self.images.pixels(cell.content, cell.size),
            self.images.pixels(cell.style, cell.size),
            kept=self._stored_fit(cell) if cell.training and not self.options.fresh else None,
            stored=record,
            image=self.store.image(cell.id) if record else None,
            own_style=self.images.pixels(cell.style, cell.style_size) if cell.style_size else None,
        )

    def _stored_fit(self, cell: Cell) -> tuple[bytes, dict[str, Any]] | None:
        """Return the fit of an earlier run; with --deterministic it must be deterministic, too."""
        fit = self.store.fit(cell.fit_id)
        if fit and self.options.deterministic and not fit[1].get("deterministic"):
            return None
        return fit

    def check_programs(self) -> None:
        """Check that the options allow the programs that the cells to run would start.

        Raises:
            UsageError: They do not; the message lists the commands.
        """
        if self.options.allow_commands:
            return
        cells = (entry.cell for entry in self.plan.todo if entry.action == "run")
        if commands := programs_of(cells):
            lines = "\n".join(f"  {shlex.join(command)}" for command in commands)
            raise UsageError(
                f"Nothing has run: this suite starts programs on this machine.\n{lines}\nThey can "
                "do everything that you can do. If you trust them, run the same command with "
                "--allow-commands."
            )

    def earlier_records(self) -> Iterator[Record]:
        """Yield one record of each variant that will run, to estimate its time, if there is one."""
        variants = {entry.cell.variant for entry in self.plan.todo}
        for cell in self.plan.cells:
            if cell.variant in variants and (record := self.store.read(cell.id)) and record.timed:
                variants.discard(cell.variant)
                yield record

    def write_inputs(self) -> None:
        """Store contents and styles as they are used: the page shows them."""
        uses = ((use, cell.size) for cell in self.plan.cells for use in (cell.content, cell.style))
        for use, size in {(use.name, use.sha256, size): (use, size) for use, size in uses}.values():
            if not self.store.input_path(use, size).exists():
                self.store.write_input(use, size, to_png(self.images.pixels(use, size)))

    def drop_checkpoints(self) -> None:
        """Delete the checkpoints of all cells that run, if --fresh was given."""
        if self.options.fresh:
            for entry in self.plan.todo:
                self.store.drop_checkpoint(entry.cell.fit_id)

    def rename_records(self) -> None:
        """Update labels and titles of reused records; their results do not depend on them."""
        for entry in self.plan.of("reuse"):
            record = self.store.read(entry.cell.id)
            if record is not None and _labels(record.cell) != _labels(entry.cell):
                self.store.rewrite(replace(record, cell=entry.cell))

    def run_record(self, **more: Any) -> Run:
        """Return the record of this invocation; `more` sets further fields."""
        trains = any(cell.training for cell in self.plan.cells)
        return Run(
            suite=self.suite.name,
            description=self.suite.description,
            profile=self.suite.profile,
            cells=tuple(cell.id for cell in self.plan.cells),
            skipped=self.plan.skipped,
            metrics=tuple(metric.score_name for metric in self.resources.metrics),
            encoder=replace(self.resources.encoder, layers=()),
            device=self.resources.device,
            precision=self.resources.precision,
            training=self.resources.training if trains else None,
            claims=tuple(self.suite.claims),
            warnings=self.warnings,
            reused=self.plan.count("reuse"),
            environment=self.resources.environment,
            **more,
        )


def prepare(suite: Suite, options: RunOptions) -> ReadyRun:
    """Find what the suite needs and plan its cells.

    Raises:
        SourceError: Weights of --weights are missing or unreadable.
        SuiteError: The suite does not fit what was found.
        UsageError: There is no such device or encoder.
    """
    network = Network(offline=options.offline)
    if not (options.downloads or options.offline):
        network = Network(offline=True, why=NO_DOWNLOADS)
    mirror = open_mirror(options.mirror, network)
    images = ImageStore(network, mirror)
    weights = WeightsStore(network, options.weights or {}, mirror)
    training = _find_training(suite)
    store = Store(options.out, suite.name)
    resources = find_resources(suite, options, images, weights, training, store)
    cells, skipped = plan.expand(suite, resources)
    check_claims(suite, cells)
    scores = [blank_score(metric, resources.encoder) for metric in resources.metrics]
    decided = plan.decide(
        cells, skipped, store.read, scores, fresh=options.fresh, bitwise=options.deterministic
    )
    warnings = list(resource_warnings(resources, scores, cells, training.hashes))
    if training.warning and any(cell.training for cell in cells):
        warnings.append(training.warning)
    if mirror and mirror.complaint:
        warnings.append(mirror.complaint)
    return ReadyRun(suite, options, resources, decided, images, store, tuple(warnings))


def programs_of(cells: Iterable[Cell]) -> list[tuple[str, ...]]:
    """Return the programs that the methods of cells start, each once. Starts none."""
    methods = {(cell.method, repr(cell.params)): cell for cell in cells}.values()
    built = (METHODS.build(cell.method, cell.params) for cell in methods)
    return list(dict.fromkeys(command for method in built for command in method.programs))


def _find_training(suite: Suite) -> TrainingSet:
    classes = [METHODS.get(spec.method) for spec in suite.methods]
    trains = any(cls.trains or "trains" in settings(cls) for cls in classes)
    try:
        return TrainingSet.find(suite.training_folder, suite.max_unusable_percent, examine=trains)
    except (SourceError, OSError) as error:
        raise suite.problem(("training", "images"), str(error)) from None


def check_claims(suite: Suite, cells: Sequence[Cell]) -> None:
    """Raise SuiteError for claims that no two cells can test."""
    if not (suite.claims and cells):
        return
    from harness.analysis.claims import impossible  # imports pandas, which is slow

    problems = impossible(suite.claims, cells)
    if problems:
        raise SuiteError(suite.source.problem(("claims", id_), f"{why}.") for id_, why in problems)


def find_resources(
    suite: Suite,
    options: RunOptions,
    images: ImageStore,
    weights: WeightsStore,
    training: TrainingSet | None = None,
    store: Store | None = None,
) -> Resources:
    """Find images, encoders, networks of metrics and the device.

    Args:
        suite: Names what is needed.
        options: Of the command line.
        images: Finds and keeps the images.
        weights: Finds the weights.
        training: For methods that train.
        store: Where trainings save their checkpoints.
    """
    judge, named, files = _find_encoders(suite, options, weights)
    device = options.found_device
    fast = options.hardware.bfloat16 if options.hardware else None
    return Resources(
        contents={name: _find_image(images, source) for name, source in suite.contents.items()},
        styles={name: _find_image(images, source) for name, source in suite.styles.items()},
        encoder=judge,
        encoders=named,
        encoder_files=files,
        device=device,
        precision=precision.resolve(options.precision or suite.precision, device, fast=fast),
        training=training.use if training else None,
        training_files=training.files if training else (),
        metrics=tuple(metric.resolve(judge, weights) for metric in suite.metrics),
        environment=environment.describe(device),
        repeats=suite.repeats,
        store=store,
        deterministic=options.deterministic,
    )


def _find_encoders(
    suite: Suite, options: RunOptions, weights: WeightsStore
) -> tuple[EncoderUse, dict[str, EncoderUse | str], dict[str, Path | None]]:
    """Return the judge, all encoders by the suite's names, and their files by SHA-256."""
    judge_name = options.encoder or suite.encoder
    try:
        judge, path = encoders.find(judge_name, weights)
    except (UnknownNameError, WeightsError) as error:
        if options.encoder:
            raise UsageError(f"--encoder: {error}") from None
        raise suite.problem(("encoder",), str(error)) from None
    files = {judge.sha256: path}
    named: dict[str, EncoderUse | str] = {judge_name: judge}
    for name in (name for name in suite.encoders if name != judge_name):
        try:
            use, path = encoders.find(name, weights)
            named[name], files[use.sha256] = use, path
        except MissingWeightsError as error:
            named[name] = str(error)
    return judge, named, files


def _find_image(images: ImageStore, source: Any) -> ImageUse | str:
    try:
        return images.find(source)
    except ImageError as error:
        return str(error)


def _labels(cell: Cell) -> tuple[Any, ...]:
    images = [(i.name, i.title, i.artist, i.year, i.rights) for i in (cell.content, cell.style)]
    return (cell.suite, cell.variant, cell.label, dict(cell.levels), *images)
