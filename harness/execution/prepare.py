"""Everything a suite needs, found before anything runs: images, weights, trunks, the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from harness.execution.batching import batches
from harness.execution.jobs import Job, Setup, blank_score, score_name
from harness.execution.machine import environment
from harness.plan import Entry, Facts, Plan
from harness.records import Cell, EncoderUse, ImageUse, Record, Run, Score
from harness.registry import METHODS
from harness.resources import precision
from harness.resources.devices import Hardware, find_device
from harness.resources.downloads import Network
from harness.resources.images import ImageStore, to_png
from harness.resources.mirror import open_mirror
from harness.resources.training_images import TrainingSet
from harness.resources.weights import WeightsStore
from harness.store import Store
from harness.suite import Suite


@dataclass(frozen=True)
class Options:
    """What the command line says about where to run and where to look."""

    out: Path
    device: str = "auto"
    precision: str = ""  # the suite's, unless given
    encoder: str = ""  # the suite's, unless given
    mirror: str = ""  # a folder, or an http(s) address
    weights: Mapping[str, Path] | None = None
    offline: bool = False
    fresh: bool = False
    deterministic: bool = False
    hardware: Hardware | None = None  # unless it is this machine's

    @property
    def found_device(self) -> str:
        """What cells run on: `cpu`, or a GPU's name."""
        return self.hardware.device if self.hardware else find_device(self.device)


@dataclass(frozen=True)
class ReadyRun:
    """A suite ready to run."""

    suite: Suite
    facts: Facts
    plan: Plan
    setup: Setup
    gallery: ImageStore
    store: Store
    warnings: tuple[str, ...]
    fresh: bool = False

    def batches(self, most: int = 1) -> Iterator[list[Job]]:
        """Yield what there is to do, cells of one fit together; images travel with each job.

        Args:
            most: Cells that may run in one batch: with one, each is timed alone.
        """
        for entries in batches(self.plan.todo, most):
            yield [self._job(entry) for entry in entries]

    def _job(self, entry: Entry) -> Job:
        cell = entry.cell
        record = self.store.read(cell.id) if entry.action == "score" else None
        return Job(
            cell,
            self.gallery.pixels(cell.content, cell.size),
            self.gallery.pixels(cell.style, cell.size),
            kept=self._kept(cell) if cell.training and not self.fresh else None,
            stored=record,
            image=self.store.image(cell.id) if record else None,
        )

    def _kept(self, cell: Cell) -> tuple[bytes, dict[str, Any]] | None:
        """Return the net of an earlier run; where bits count, only one that was trained so."""
        kept = self.store.fit(cell.fit_id)
        if kept and self.setup.deterministic and not kept[1].get("deterministic"):
            return None
        return kept

    def earlier(self) -> Iterator[Record]:
        """Yield a record of each variant that is to run, where an earlier run left one."""
        unknown = {entry.cell.variant for entry in self.plan.todo}
        for cell in self.plan.cells:
            if cell.variant in unknown and (record := self.store.read(cell.id)) and record.timing:
                unknown.discard(cell.variant)
                yield record

    def write_inputs(self) -> None:
        """Keep contents and styles as they are used, for the page and for anyone who checks."""
        uses = ((use, cell.size) for cell in self.plan.cells for use in (cell.content, cell.style))
        for use, size in {(use.name, use.sha256, size): (use, size) for use, size in uses}.values():
            if not self.store.input_path(use, size).exists():
                self.store.write_input(use, size, to_png(self.gallery.pixels(use, size)))

    def begin_anew(self) -> None:
        """Forget trainings in progress where everything is to run again."""
        if self.fresh:
            for entry in self.plan.todo:
                self.store.drop_checkpoint(entry.cell.fit_id)

    def adopt_records(self) -> None:
        """Give reused records today's names: labels and titles may change, results do not."""
        for entry in self.plan.of("reuse"):
            record = self.store.read(entry.cell.id)
            if record is not None and _names(record.cell) != _names(entry.cell):
                self.store.rewrite(replace(record, cell=entry.cell))

    def run_record(self, **more: Any) -> Run:
        """Describe this invocation, for the page."""
        trains = any(cell.training for cell in self.plan.cells)
        return Run(
            suite=self.suite.name,
            description=self.suite.description,
            profile=self.suite.profile,
            cells=tuple(cell.id for cell in self.plan.cells),
            skipped=self.plan.skipped,
            metrics=tuple(score_name(metric) for metric in self.setup.metrics),
            encoder=replace(self.facts.encoder, layers=()),
            device=self.facts.device,
            precision=self.facts.precision,
            training=self.facts.training if trains else None,
            claims=tuple(self.suite.claims),
            warnings=self.warnings,
            reused=self.plan.count("reuse"),
            environment=self.setup.environment,
            **more,
        )


def prepare(suite: Suite, options: Options) -> ReadyRun:
    """Find what the suite needs and lay out its cells.

    Raises:
        SourceError: Weights that were asked for by name cannot be had.
        SuiteError: The suite does not fit what was found.
    """
    network = Network(offline=options.offline)
    mirror = open_mirror(options.mirror, network)
    gallery = ImageStore(network, mirror)
    shelf = WeightsStore(network, options.weights or {}, mirror)
    try:
        training = TrainingSet.find(suite.training_folder)
    except (SourceError, OSError) as error:
        raise suite.problem(("training", "images"), str(error)) from None
    facts, encoder_files = _facts(suite, options, gallery, shelf, training)
    metrics = tuple(_resolve(metric, facts, shelf) for metric in suite.metrics)
    cells, skipped = plan.expand(suite, facts)
    check_claims(suite, cells)
    store = Store(options.out, suite.name)
    scores = [blank_score(metric, facts.encoder) for metric in metrics]
    decided = plan.decide(
        cells, skipped, store.read, scores, fresh=options.fresh, bitwise=options.deterministic
    )
    setup = Setup(
        judge=facts.encoder,
        encoder_files=encoder_files,
        device=facts.device,
        precision=facts.precision,
        metrics=metrics,
        training_files=training.files,
        environment=environment.describe(facts.device),
        repeats=suite.repeats,
        store=store,
        deterministic=options.deterministic,
    )
    warnings = [*_warnings(facts, scores, cells, training.hashes), *_circular(metrics)]
    if mirror and mirror.complaint:
        warnings.append(mirror.complaint)
    return ReadyRun(
        suite, facts, decided, setup, gallery, store, tuple(warnings), fresh=options.fresh
    )


def check_claims(suite: Suite, cells: Sequence[Cell]) -> None:
    """Raise SuiteError for claims that no two of the cells could test."""
    if not (suite.claims and cells):  # all cells may be skipped
        return
    from harness.analysis.claims import impossible  # pandas takes its time

    found = impossible(suite.claims, cells)
    if found:
        raise SuiteError(suite.source.problem(("claims", name), f"{why}.") for name, why in found)


def _facts(
    suite: Suite, options: Options, gallery: ImageStore, shelf: WeightsStore, training: TrainingSet
) -> tuple[Facts, dict[str, Path | None]]:
    judge = options.encoder or suite.encoder
    try:
        encoder, path = encoders.find(judge, shelf)
    except (UnknownNameError, WeightsError) as error:
        if options.encoder:
            raise UsageError(f"--encoder: {error}") from None
        raise suite.problem(("encoder",), str(error)) from None
    files = {encoder.sha256: path}
    named: dict[str, EncoderUse | str] = {judge: encoder}
    for name in (name for name in suite.encoders if name != judge):
        try:
            use, path = encoders.find(name, shelf)
            named[name], files[use.sha256] = use, path
        except MissingWeightsError as error:
            named[name] = str(error)
    contents = {name: _image(gallery, source) for name, source in suite.contents.items()}
    styles = {name: _image(gallery, source) for name, source in suite.styles.items()}
    device = options.found_device
    fast = options.hardware.bfloat16 if options.hardware else None
    facts = Facts(
        contents=contents,
        styles=styles,
        encoder=encoder,
        device=device,
        precision=precision.resolve(options.precision or suite.precision, device, fast=fast),
        training=training.use,
        encoders=named,
    )
    return facts, files


def _image(gallery: ImageStore, source: Any) -> ImageUse | str:
    try:
        return gallery.find(source)
    except ImageError as error:
        return str(error)


def _resolve(metric: Any, facts: Facts, shelf: WeightsStore) -> Any:
    return metric.resolve(facts.encoder, shelf) if hasattr(metric, "resolve") else metric


def _warnings(
    facts: Facts, scores: Sequence[Score], cells: Sequence[Cell], trained_on: frozenset[str]
) -> Iterator[str]:
    if facts.encoder.warning:
        yield facts.encoder.warning
    for score in scores:
        if score.why_missing:
            yield f"{score.name} is not available: {score.why_missing}"
    seen = {c.content.name: None for c in cells if c.training and c.content.sha256 in trained_on}
    if seen:
        yield f"Methods that train have seen {', '.join(seen)}: they are among the photographs."
    yield from _stood_in(facts, cells)
    images = (image for cell in cells for image in (cell.content, cell.style))
    used = {image.name: image for image in images if image.stand_in}
    if used:
        reason = next(iter(used.values())).why_stand_in
        yield (
            f"Stand-ins for {', '.join(used)}: {reason} "
            "`--mirror DIR|URL` takes copies of your own."
        )


def _circular(metrics: Sequence[Any]) -> Iterator[str]:
    """Say which scores look through the suite's encoder for want of a network that was held out."""
    found = {score_name(m): why for m in metrics if (why := getattr(m, "circular", ""))}
    for why in dict.fromkeys(found.values()):
        names = " and ".join(name for name, its in found.items() if its == why)
        yield f"{names} had {why}."


def _stood_in(facts: Facts, cells: Sequence[Cell]) -> Iterator[str]:
    """Say which methods look at other layers than their recipes name."""
    layers = {use.sha256: use.layers for use in facts.uses}
    labels: dict[str, dict[str, None]] = {}
    for cell in {(cell.variant, cell.encoder.sha256): cell for cell in cells}.values():
        method = METHODS.build(cell.method, cell.params)
        said = encoders.stood_in(method, layers[cell.encoder.sha256])
        if said:
            which = ", ".join(f"{shallow} for {deep}" for deep, shallow in said.items())
            labels.setdefault(f"{cell.encoder.name} does not go so deep: {which}", {})[
                cell.label
            ] = None
    for what, methods in labels.items():
        yield f"Layers stand in for others in {', '.join(methods)}, since {what}."


def _names(cell: Cell) -> tuple[Any, ...]:
    images = [(i.name, i.title, i.artist, i.year, i.rights) for i in (cell.content, cell.style)]
    return (cell.suite, cell.variant, cell.label, dict(cell.levels), *images)
