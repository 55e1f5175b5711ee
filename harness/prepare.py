"""Everything a suite needs, found before anything runs: images, weights, trunks, the plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import encoders, environment, plan
from harness.downloads import Network
from harness.errors import ImageError, UnknownNameError, UsageError, WeightsError
from harness.images import Gallery, to_png
from harness.jobs import Job, Setup, score_lens, score_name
from harness.plan import Facts, Plan
from harness.records import Cell, ImageUse, Run, Score
from harness.store import Store
from harness.suite import Suite
from harness.training import TrainingSet
from harness.weights import Shelf


@dataclass(frozen=True)
class Options:
    """What the command line says about where to run and where to look."""

    out: Path
    device: str = "auto"
    precision: str = ""  # the suite's, unless given
    encoder: str = ""  # the suite's, unless given
    mirror: Path | None = None
    weights: Mapping[str, Path] | None = None
    offline: bool = False
    fresh: bool = False


@dataclass(frozen=True)
class Prepared:
    """A suite ready to run."""

    suite: Suite
    facts: Facts
    plan: Plan
    setup: Setup
    gallery: Gallery
    store: Store
    warnings: tuple[str, ...]

    def jobs(self) -> Iterator[Job]:
        """Yield what there is to do, cells of one fit together; images travel with each job."""
        for entry in self.plan.todo:
            cell = entry.cell
            record = self.store.read(cell.id) if entry.action == "score" else None
            yield Job(
                cell,
                self.gallery.pixels(cell.content, cell.size),
                self.gallery.pixels(cell.style, cell.size),
                kept=self.store.fit(cell.fit_id) if cell.training else None,
                stored=record,
                image=self.store.image(cell.id) if record else None,
            )

    def write_inputs(self) -> None:
        """Keep contents and styles as they are used, for the page and for anyone who checks."""
        for cell in self.plan.cells:
            for image in (cell.content, cell.style):
                if not self.store.input_path(image, cell.size).exists():
                    png = to_png(self.gallery.pixels(image, cell.size))
                    self.store.write_input(image, cell.size, png)

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
            warnings=self.warnings,
            reused=len(self.plan.of("reuse")),
            environment=self.setup.environment,
            **more,
        )


def prepare(suite: Suite, options: Options) -> Prepared:
    """Find what the suite needs and lay out its cells.

    Raises:
        SourceError: Weights that were asked for by name cannot be had.
        SuiteError: The suite does not fit what was found.
    """
    network = Network(offline=options.offline)
    gallery = Gallery(network, options.mirror)
    shelf = Shelf(network, options.weights or {})
    facts, encoder_path, training = _facts(suite, options, gallery, shelf)
    metrics = tuple(_equip(metric, facts, shelf) for metric in suite.metrics)
    cells, skipped = plan.expand(suite, facts)
    store = Store(options.out, suite.name)
    scores = expected(metrics, facts)
    decided = plan.decide(cells, skipped, store.read, scores, fresh=options.fresh)
    setup = Setup(
        encoder=facts.encoder,
        encoder_path=encoder_path,
        device=facts.device,
        precision=facts.precision,
        metrics=metrics,
        training_files=training.files,
        environment=environment.describe(facts.device),
    )
    warnings = tuple(_warnings(facts, scores, cells, training.hashes))
    return Prepared(suite, facts, decided, setup, gallery, store, warnings)


def _facts(
    suite: Suite, options: Options, gallery: Gallery, shelf: Shelf
) -> tuple[Facts, Path | None, TrainingSet]:
    try:
        encoder, path = encoders.find(options.encoder or suite.encoder, shelf)
    except (UnknownNameError, WeightsError) as error:
        if options.encoder:
            raise UsageError(f"--encoder: {error}") from None
        raise suite.problem(("encoder",), str(error)) from None
    training = TrainingSet.find(suite.training_folder)
    contents = {name: _image(gallery, source) for name, source in suite.contents.items()}
    styles = {name: _image(gallery, source) for name, source in suite.styles.items()}
    facts = Facts(
        contents=contents,
        styles=styles,
        encoder=encoder,
        device=find_device(options.device),
        precision=options.precision or suite.precision,
        training=training.use,
    )
    return facts, path, training


def _image(gallery: Gallery, source: Any) -> ImageUse | str:
    try:
        return gallery.find(source)
    except ImageError as error:
        return str(error)


def find_device(asked: str) -> str:
    """Return `cpu` or the GPU's name; `auto` takes a GPU where there is one."""
    import torch

    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if not torch.cuda.is_available():
        raise UsageError(f"--device {asked}: torch {torch.__version__} sees no CUDA device here.")
    return torch.cuda.get_device_name()


def _equip(metric: Any, facts: Facts, shelf: Shelf) -> Any:
    return metric.equip(facts.encoder, shelf) if hasattr(metric, "equip") else metric


def expected(metrics: Sequence[Any], facts: Facts) -> list[Score]:
    """Return what every record should hold, as scores without a value."""
    return [
        Score(
            score_name(metric), None, metric.unit, metric.better,
            score_lens(metric, facts.encoder.name), metric.version, getattr(metric, "missing", ""),
        )
        for metric in metrics
    ]  # fmt: skip


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
    used = {cell.style.name: cell.style for cell in cells if cell.style.stand_in}
    if used:
        reason = next(iter(used.values())).why_stand_in
        yield (
            f"Stand-ins painted by nstbench instead of {', '.join(used)}: {reason} "
            "`--mirror DIR` takes copies of your own."
        )


def _names(cell: Cell) -> tuple[Any, ...]:
    images = [(i.name, i.title, i.artist, i.year, i.rights) for i in (cell.content, cell.style)]
    return (cell.suite, cell.variant, cell.label, dict(cell.levels), *images)
