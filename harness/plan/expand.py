"""Suite -> Plan: which cells there are, and what is to be done with each. Pure, no torch."""

from __future__ import annotations

import itertools
import os.path
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from harness import encoders
from harness.errors import Problem, Problems, SuiteError, nearest
from harness.records import Cell, EncoderUse, ImageUse, Record, Score, Skip, TrainingUse
from harness.registry import METHODS
from harness.resources.downloads import file_sha256
from harness.resources.images import MIN_EDGE, resized
from harness.suite import MAX_CELLS, PLACES, MethodSpec, Suite

Action = Literal["run", "reuse", "score"]


@dataclass(frozen=True)
class Facts:
    """What was found on this machine for a suite; what is missing is its reason."""

    contents: Mapping[str, ImageUse | str]
    styles: Mapping[str, ImageUse | str]
    encoder: EncoderUse  # the suite's: the judge of all, and what methods use unless they say
    device: str
    precision: str
    training: TrainingUse
    encoders: Mapping[str, EncoderUse | str] = field(default_factory=dict)  # that methods name

    @property
    def uses(self) -> list[EncoderUse]:
        """All encoders that were found."""
        return [self.encoder, *(e for e in self.encoders.values() if isinstance(e, EncoderUse))]


@dataclass(frozen=True)
class Entry:
    """A cell and what is to be done with it, and why."""

    cell: Cell
    action: Action
    why: str


@dataclass(frozen=True)
class Plan:
    """All cells of a suite in the order of the page: pair by pair, variant by variant."""

    entries: tuple[Entry, ...]
    skipped: tuple[Skip, ...]
    scores_only: bool = False  # leave alone what has no image yet

    def of(self, action: Action) -> list[Entry]:
        """Return the entries with one action, those of one fit together."""
        chosen = [entry for entry in self.entries if entry.action == action]
        order = {fit: i for i, fit in enumerate(dict.fromkeys(e.cell.fit_id for e in chosen))}
        return sorted(chosen, key=lambda entry: order[entry.cell.fit_id])

    def count(self, action: Action) -> int:
        """Return how many entries have one action."""
        return sum(entry.action == action for entry in self.entries)

    @property
    def todo(self) -> list[Entry]:
        """The entries that a worker is needed for, in the order of running."""
        return [*self.of("score"), *([] if self.scores_only else self.of("run"))]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells alone."""
        return tuple(entry.cell for entry in self.entries)


def expand(suite: Suite, facts: Facts) -> tuple[list[Cell], list[Skip]]:
    """Return every cell of a suite, and those that cannot be for want of an image.

    Raises:
        SuiteError: Parameters that do not go together, layers that the encoder lacks, or two
            variants that are one.
    """
    problems = Problems()
    make = _CellMaker(suite, facts, problems)
    made: list[tuple[Mapping[str, Any], Cell | Skip | None]] = []
    for spec in suite.methods:
        made += [(found.place, make(spec, found)) for found in combinations(suite, spec)]
        _few_enough(suite, len(made))
    pairs = {pair: i for i, pair in enumerate(suite.pairs)}

    def page_order(item: tuple[Mapping[str, Any], Any]) -> tuple[int, int, int]:
        place = item[0]
        return place["size"], pairs[place["content"], place["style"]], place["seed"]

    results = [result for _, result in sorted(made, key=page_order)]
    cells = [result for result in results if isinstance(result, Cell)]
    skipped = [result for result in results if isinstance(result, Skip)]
    for twin in _duplicate_variants(suite, cells):
        problems.append(twin)
    if problems:
        raise SuiteError(dict.fromkeys(problems))
    return cells, skipped


def decide(
    cells: Sequence[Cell], skipped: Sequence[Skip], read: Callable[[str], Record | None],
    scores: Sequence[Score], *, fresh: bool = False, bitwise: bool = False,
) -> Plan:  # fmt: skip
    """Join the cells with what is stored.

    Args:
        cells: From `expand`.
        skipped: From `expand`.
        read: The stored record of a cell id, or None.
        scores: What each record should hold, by name, lens and version; those with a
            `why_missing` cannot be had and are not waited for.
        fresh: Run everything again.
        bitwise: Run again what the same machine may not give bit by bit.
    """

    def decided(cell: Cell) -> Entry:
        return _decide(cell, None if fresh else read(cell.id), scores, bitwise=bitwise)

    return Plan(tuple(map(decided, cells)), tuple(skipped))


def _decide(cell: Cell, record: Record | None, scores: Sequence[Score], *, bitwise: bool) -> Entry:
    if record is None:
        return Entry(cell, "run", "new")
    if not record.ok:
        return Entry(cell, "run", f"the last attempt ended {record.status}")
    if bitwise and not record.bitwise:
        return Entry(cell, "run", "made without --deterministic")
    held = {_kind(score) for score in record.scores}
    lacking = [s.name for s in scores if not s.why_missing and _kind(s) not in held]
    if lacking:
        return Entry(cell, "score", f"to be scored: {', '.join(lacking)}")
    return Entry(cell, "reuse", "done before")


def _kind(score: Score) -> tuple[str, str, str, int]:
    return (score.name, score.lens, score.lens_sha256, score.version)


def explained(plan: Plan, stored: Sequence[Record]) -> dict[str, str]:
    """Say by cell id why it runs, or why not."""
    by_name: dict[str, list[Record]] = {}
    for record in stored:
        by_name.setdefault(record.cell.name, []).append(record)
    return {
        entry.cell.id: explain(entry.cell, by_name.get(entry.cell.name, ()))
        if (entry.action, entry.why) == ("run", "new")
        else entry.why
        for entry in plan.entries
    }


def explain(cell: Cell, stored: Iterable[Record]) -> str:
    """Say which components set a cell apart from the nearest stored record of its name."""
    same_name = [r for r in stored if r.cell.name == cell.name and r.cell.id != cell.id]
    if not same_name:
        return "no earlier result has this name"

    def changes(record: Record) -> list[str]:
        old, new = _flat(record.cell.components), _flat(cell.components)
        return [
            f"{key}: {old.get(key, 'absent')} -> {new.get(key, 'absent')}"
            for key in sorted({*old, *new})
            if old.get(key) != new.get(key)
        ]

    candidates = [changes(record) for record in same_name]
    fewest = min(candidates, key=len)
    return "; ".join(fewest)


def _flat(components: Mapping[str, Any]) -> dict[str, Any]:
    flat = {k: v for k, v in components.items() if k != "params"}
    for key, value in components["params"].items():
        flat[f"params.{key}"] = list(value) if isinstance(value, tuple) else value
    return flat


@dataclass
class Combination:
    """One point of a method's matrix."""

    levels: dict[str, Any]  # these name the variant
    place: dict[str, Any]  # content, style, seed, size
    extra: dict[str, Any] = field(default_factory=dict)  # added by an include, unnamed

    def agrees(self, entry: Mapping[str, Any], *, keys: Iterable[str] | None = None) -> bool:
        """Tell whether an exclude or include entry names nothing else than this."""
        facts = {**self.levels, **self.place}
        asked = entry if keys is None else [key for key in entry if key in keys]
        return all(key in facts and _among(facts[key], entry[key]) for key in asked)


def combinations(suite: Suite, spec: MethodSpec) -> list[Combination]:
    """Return a method's matrix after exclude and include, as in GitHub Actions.

    An `include` whose values agree with a combination adds its other keys to it; one that agrees
    with none is a new combination, on all pairs, sizes and seeds that it does not name.
    """
    places = [
        {"content": content, "style": style, "seed": seed, "size": size}
        for content, style in suite.pairs
        for size in suite.sizes
        for seed in suite.seeds
    ]
    kept = [
        combination
        for place in places
        for levels in _levels(spec)
        if not any(
            Combination({**levels, "method": spec.label}, place).agrees(entry)
            for entry in suite.exclude
        )
        for combination in [Combination(levels, place)]
    ]
    original = {*spec.axes, *PLACES[1:]}
    for entry in suite.include:
        if entry.get("method") != spec.label:
            continue
        wanted = {key: value for key, value in entry.items() if key != "method"}
        hits = [combination for combination in kept if combination.agrees(wanted, keys=original)]
        for combination in hits:
            combination.extra |= {k: v for k, v in wanted.items() if k not in original}
        if not hits:
            kept += _added(suite, wanted)
            _few_enough(suite, len(kept))
    return kept


def _few_enough(suite: Suite, cells: int) -> None:
    """Stop where includes make too much of a suite whose own matrix is of a size to be planned."""
    if cells > MAX_CELLS:
        raise suite.problem(("include",), f"makes more than the {MAX_CELLS:,} cells of a plan.")


def _levels(spec: MethodSpec) -> list[dict[str, Any]]:
    axes = list(spec.axes)
    if spec.vary == "product":
        return [
            dict(zip(axes, values, strict=True))
            for values in itertools.product(*spec.axes.values())
        ]
    baseline = {axis: values[0] for axis, values in spec.axes.items()}
    others = [{**baseline, axis: v} for axis, values in spec.axes.items() for v in values[1:]]
    return [baseline, *others]


def _among(value: Any, wanted: Any) -> bool:
    choices = wanted if isinstance(wanted, list) and not isinstance(value, list) else [wanted]
    return any((value == one and type(value) is not bool) or value is one for one in choices)


def _added(suite: Suite, wanted: Mapping[str, Any]) -> list[Combination]:
    levels = {key: value for key, value in wanted.items() if key not in PLACES}
    places = itertools.product(
        [
            {"content": content, "style": style}
            for content, style in suite.pairs
            if _among(content, wanted.get("content", content))
            and _among(style, wanted.get("style", style))
        ],
        dict.fromkeys(_listed(wanted.get("size", suite.sizes))),
        dict.fromkeys(_listed(wanted.get("seed", suite.seeds))),
    )
    return [
        Combination(levels, {**pair, "seed": seed, "size": size}) for pair, size, seed in places
    ]


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def variant_name(spec: MethodSpec, levels: Mapping[str, Any]) -> str:
    """Name a variant after its label and what sets it apart: `johnson[batch,tv_weight=0]`.

    Where one axis is varied at a time, only what differs from the baseline is named.
    """
    baseline = (
        {axis: values[0] for axis, values in spec.axes.items()}
        if spec.vary == "one-at-a-time"
        else {}
    )
    texts = [
        _level_text(axis, value)
        for axis, value in levels.items()
        if value is not None and (axis not in baseline or value != baseline[axis])
    ]
    return f"{spec.label}[{','.join(texts)}]" if texts else spec.label


def _level_text(axis: str, value: Any) -> str:
    if isinstance(value, str) and value not in {"none", "auto", "mean", "sum"}:
        return value
    if isinstance(value, (list, tuple)):
        return f"{axis}={'+'.join(map(str, value))}"
    return f"{axis}={value:g}" if isinstance(value, float) else f"{axis}={value}"


@dataclass(frozen=True)
class _Built:
    """A method with its parameters: what all of its cells share, and found out once."""

    method: Any
    params: Mapping[str, Any]
    files: Mapping[str, str]  # parameter -> SHA-256 of its file
    encoder: EncoderUse


class _CellMaker:
    """Turns a combination into a cell; a method's parameters are built and checked once."""

    def __init__(self, suite: Suite, facts: Facts, problems: Problems) -> None:
        self.suite, self.facts, self.problems = suite, facts, problems
        self._built: dict[tuple[str, str], _Built | None] = {}

    def __call__(self, spec: MethodSpec, combination: Combination) -> Cell | Skip | None:
        levels = {**combination.levels, **combination.extra}
        content, style, seed, size = (combination.place[key] for key in PLACES[1:])
        name = variant_name(spec, combination.levels)
        content_use, style_use = self.facts.contents[content], self.facts.styles[style]
        encoder = self._encoder(levels.get("encoder", spec.encoder))
        for found in (encoder, content_use, style_use):
            if why := found if isinstance(found, str) else _too_narrow(found, size):
                pair = f"{content}--{style}"
                return Skip(f"{name}/{pair}/s{seed}", name, pair, why)
        assert isinstance(encoder, EncoderUse)
        assert isinstance(content_use, ImageUse)
        assert isinstance(style_use, ImageUse)
        key = (spec.label, repr(levels))
        if key not in self._built:
            self._built[key] = self._build(spec, levels, name, encoder)
        built = self._built[key]
        if built is None:
            return None
        shown = {**levels, "size": size} if len(self.suite.sizes) > 1 else levels
        return Cell(
            suite=self.suite.name,
            variant=name,
            label=spec.label,
            method=spec.method,
            version=built.method.version,
            params=built.params,
            levels=shown,
            content=content_use,
            style=style_use,
            size=size,
            seed=seed,
            encoder=built.encoder,
            precision=self.facts.precision,
            device=self.facts.device,
            training=self.facts.training if getattr(built.method, "trains", False) else None,
            files=built.files,
            anchor=getattr(built.method, "anchor", False),
        )

    def _encoder(self, name: str) -> EncoderUse | str:
        return self.facts.encoders[name] if name else self.facts.encoder

    def _build(
        self, spec: MethodSpec, levels: dict[str, Any], name: str, encoder: EncoderUse
    ) -> _Built | None:
        key = ("methods", spec.label)
        own = {k: v for k, v in levels.items() if k != "encoder"}
        try:
            method = METHODS.build(spec.method, {**spec.params, **own})
        except ValidationError as error:
            for item in error.errors():
                self._say(key, f"{name}: {item['msg'].removeprefix('Value error, ')}.")
            return None
        there = {*encoder.layers, *encoders.stood_in(method, encoder.layers)}
        missing = [k for k in getattr(method, "layers", ()) if k not in there]
        if missing:
            ends = _what_there_is(encoder, missing[0])
            self._say(key, f"{name} asks for {', '.join(missing)}, {ends}")
            return None
        files = {k: Path(v) for k, v in getattr(method, "files", {}).items()}
        # Path.is_file raises where a name is too long or a folder is closed.
        absent = [f"{k}: there is no file {p}" for k, p in files.items() if not os.path.isfile(p)]  # noqa: PTH113
        for what in absent:
            self._say(key, f"{what}.")
        if absent:
            return None
        try:
            hashes = {k: file_sha256(p) for k, p in files.items()}
        except OSError as error:
            self._say(key, f"{error.filename} cannot be read: {error.strerror}.")
            return None
        return _Built(method, _jsonable(asdict(method)), hashes, replace(encoder, layers=()))

    def _say(self, key: tuple[str, ...], what: str) -> None:
        self.problems.append(self.suite.source.problem(key, what))


def _what_there_is(encoder: EncoderUse, layer: str) -> str:
    named = [k for k in encoder.layers if not k.startswith("pool")]
    return (
        f"but the encoder {encoder.name} ({encoder.origin}) ends at {named[-1]}."
        f"{nearest(layer, encoder.layers)} Choose layers with --set "
        "LABEL.style_layers=[...] and LABEL.content_layers=[...], or other weights."
    )


def _too_narrow(use: EncoderUse | ImageUse, size: int) -> str:
    """Say why an image cannot be used at a long edge of `size` pixels; empty where it can."""
    if isinstance(use, EncoderUse):
        return ""
    width, height = resized(use.width, use.height, size)
    if min(width, height) >= MIN_EDGE:
        return ""
    return f"{use.name} is {width} x {height} pixels at {size}: at least {MIN_EDGE} are needed."


def _jsonable(params: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in params.items()}


def _duplicate_variants(suite: Suite, cells: Sequence[Cell]) -> Iterator[Problem]:
    seen: dict[str, Cell] = {}
    told: set[tuple[str, str]] = set()
    for cell in cells:
        other = seen.setdefault(cell.id, cell)
        names = (other.variant, cell.variant)
        # One variant may have two cells of one id where one photograph stands in for two paintings.
        one = other is cell or (names[0] == names[1] and other.name != cell.name)
        if not one and names not in told:
            told.add(names)
            yield suite.source.problem(
                ("methods", cell.label),
                f"{names[1]} and {names[0]} are the same configuration; drop one of them.",
            )
