"""Suite -> cells. Pure except for the hashes of files that methods name; imports no torch."""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness import encoders
from harness.errors import Problem, Problems, SourceError, SuiteError, nearest
from harness.plan.combinations import Combination, check_size, combinations
from harness.plan.naming import variant_name
from harness.plan.resources import Resources
from harness.records import Cell, EncoderUse, ImageUse, Skip
from harness.registry import METHODS, locations
from harness.resources.downloads import file_sha256
from harness.resources.images import MIN_EDGE, resized
from harness.suite import PLACES, SHARED_AXES, MethodSpec, Suite


def expand(suite: Suite, resources: Resources) -> tuple[list[Cell], list[Skip]]:
    """Return every cell of a suite, and those that are skipped because something is missing.

    Raises:
        SuiteError: Parameters contradict each other, the encoder lacks a layer, a file is missing,
            or two variants are the same configuration.
    """
    problems = Problems()
    make_cell = _CellMaker(suite, resources, problems)
    made: list[tuple[Mapping[str, Any], Cell | Skip | None]] = []
    for spec in suite.methods:
        made += [(point.place, make_cell(spec, point)) for point in combinations(suite, spec)]
        check_size(suite, len(made))
    pairs = {pair: i for i, pair in enumerate(suite.pairs)}

    def page_order(item: tuple[Mapping[str, Any], Any]) -> tuple[int, int, int]:
        place = item[0]
        return place["size"], pairs[place["content"], place["style"]], place["seed"]

    results = [result for _, result in sorted(made, key=page_order)]
    cells = [result for result in results if isinstance(result, Cell)]
    skipped = [result for result in results if isinstance(result, Skip)]
    for duplicate in _duplicate_variants(suite, cells):
        problems.append(duplicate)
    if problems:
        raise SuiteError(dict.fromkeys(problems))
    return cells, skipped


@dataclass(frozen=True)
class _Built:
    """What all cells of a method with the same parameters share."""

    method: Any
    params: Mapping[str, Any]
    files: Mapping[str, str]  # parameter -> SHA-256 of its file
    encoder: EncoderUse
    unavailable: str  # why its cells cannot run here


class _CellMaker:
    """Turns combinations into cells; builds and checks a method once per set of parameters."""

    def __init__(self, suite: Suite, resources: Resources, problems: Problems) -> None:
        self.suite, self.resources, self.problems = suite, resources, problems
        self._built: dict[tuple[str, str], _Built | None] = {}

    def __call__(self, spec: MethodSpec, combination: Combination) -> Cell | Skip | None:
        """Return the cell, a skip with its reason, or None if its method has a problem."""
        levels = {**combination.levels, **combination.extra}
        content_name, style_name, seed, size = (combination.place[key] for key in PLACES[1:])
        name = variant_name(spec, combination.levels)
        encoder = self._encoder(levels.get("encoder", spec.encoder))
        content = self.resources.contents[content_name]
        style = self.resources.styles[style_name]
        for use in (encoder, content, style):
            if why := use if isinstance(use, str) else _too_narrow(use, size):
                return self._skip(name, combination, why)
        assert isinstance(encoder, EncoderUse)
        assert isinstance(content, ImageUse)
        assert isinstance(style, ImageUse)
        key = (spec.label, repr(levels))
        if key not in self._built:
            self._built[key] = self._build(spec, levels, name, encoder)
        built = self._built[key]
        if built is None:
            return None
        if built.unavailable:
            return self._skip(name, combination, built.unavailable)
        style_size = self._style_size(spec, levels, anchor=built.method.anchor)
        if style_size and (why := _too_narrow(style, style_size)):
            return self._skip(name, combination, why)
        trains = built.method.trains
        cell = Cell(
            suite=self.suite.name,
            variant=name,
            label=spec.label,
            method=spec.method,
            version=built.method.version,
            params=built.params,
            levels={**levels, "size": size} if len(self.suite.sizes) > 1 else levels,
            content=content,
            style=style,
            size=size,
            seed=seed,
            encoder=built.encoder,
            precision=self.resources.precision,
            device=self.resources.device,
            training=self.resources.training if trains else None,
            files=built.files,
            anchor=built.method.anchor,
            style_size=None if style_size == size else style_size,
            locations=locations(type(built.method)),
            uses_encoder=bool(built.method.layers),
        )
        try:
            own = _hashes(built.method.cell_files(cell.inputs))
        except SourceError as error:
            return self._skip(name, combination, str(error))
        return replace(cell, files={**cell.files, **own}) if own else cell

    @staticmethod
    def _skip(variant: str, combination: Combination, why: str) -> Skip:
        content, style, seed, _ = (combination.place[key] for key in PLACES[1:])
        pair = f"{content}--{style}"
        return Skip(f"{variant}/{pair}/s{seed}", variant, pair, why)

    def _style_size(
        self, spec: MethodSpec, levels: Mapping[str, Any], *, anchor: bool
    ) -> int | None:
        """Return the style size of a cell, or None for the content's.

        The suite's does not change anchors: the judge compares with the style at the content's
        size, and `style_copy` is the best image by that judge.
        """
        default = None if anchor else self.suite.style_size
        size: int | None = levels.get("style_size", spec.style_size or default)
        return size

    def _encoder(self, name: str) -> EncoderUse | str:
        return self.resources.encoders[name] if name else self.resources.encoder

    def _build(
        self, spec: MethodSpec, levels: dict[str, Any], name: str, encoder: EncoderUse
    ) -> _Built | None:
        own = {k: v for k, v in levels.items() if k not in SHARED_AXES}
        try:
            method = METHODS.build(spec.method, {**spec.params, **own})
        except ValidationError as error:
            for item in error.errors():
                self._report(spec, f"{name}: {item['msg'].removeprefix('Value error, ')}.")
            return None
        available = {*encoder.layers, *encoders.replacement_layers(method, encoder.layers)}
        missing = [k for k in method.layers if k not in available]
        if missing:
            ends = _describe_last_layer(encoder, missing[0])
            self._report(spec, f"{name} asks for {', '.join(missing)}, {ends}")
            return None
        method = self._located(method)
        hashes = self._hash_files(spec, method.files)
        if hashes is None:
            return None
        try:
            method = method.resolve({*spec.params, *own})
        except SourceError as error:
            self._report(spec, str(error) if name == spec.label else f"{name}: {error}")
            return None
        params, without_layers = _jsonable(asdict(method)), replace(encoder, layers=())
        return _Built(method, params, hashes, without_layers, method.unavailable)

    def _located(self, method: Any) -> Any:
        """Return a method with usable paths: those of a suite are relative to its folder."""
        parameters = {field.name for field in fields(method)}
        named = {name: path for name, path in method.files.items() if name in parameters}
        named |= {name: getattr(method, name) for name in locations(type(method))}
        paths: dict[str, str] = {}
        for name, path in named.items():
            if path:
                with suppress(RuntimeError):  # `~name` of an unknown user: there is no such file
                    paths[name] = str(self.suite.folder / Path(path).expanduser())
        return replace(method, **paths)

    def _hash_files(self, spec: MethodSpec, files: Mapping[str, Any]) -> dict[str, str] | None:
        """Return parameter -> SHA-256 of its file, or report files that cannot be read."""
        # Path.is_file raises if a name is too long or a folder is not accessible.
        absent = [(k, v) for k, v in files.items() if not os.path.isfile(v)]  # noqa: PTH113
        for key, path in absent:
            what = f"there is no file {Path(path)}" if path else "give the path of a file"
            self._report(spec, f"{key}: {what}.")
        if absent:
            return None
        try:
            return _hashes(files)
        except SourceError as error:
            self._report(spec, str(error))
            return None

    def _report(self, spec: MethodSpec, what: str) -> None:
        self.problems.append(self.suite.source.problem(("methods", spec.label), what))


def _hashes(files: Mapping[str, str]) -> dict[str, str]:
    """Return parameter -> SHA-256 of its file."""
    try:
        return {key: file_sha256(Path(path)) for key, path in files.items()}
    except OSError as error:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}.") from None


def _describe_last_layer(encoder: EncoderUse, layer: str) -> str:
    named = [k for k in encoder.layers if not k.startswith("pool")]
    return (
        f"but the encoder {encoder.name} ({encoder.origin}) ends at {named[-1]}."
        f"{nearest(layer, encoder.layers)} Choose layers with --set "
        "LABEL.style_layers=[...] and LABEL.content_layers=[...], or other weights."
    )


def _too_narrow(use: EncoderUse | ImageUse, size: int) -> str:
    """Return why an image is too narrow at a long edge of `size` pixels, or an empty string."""
    if isinstance(use, EncoderUse):
        return ""
    width, height = resized(use.width, use.height, size)
    if min(width, height) >= MIN_EDGE:
        return ""
    return f"{use.name} is {width} x {height} pixels at {size}: at least {MIN_EDGE} are needed."


def _jsonable(params: Mapping[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in params.items()}


def _duplicate_variants(suite: Suite, cells: Sequence[Cell]) -> Iterator[Problem]:
    first: dict[str, Cell] = {}
    reported: set[tuple[str, str]] = set()
    for cell in cells:
        other = first.setdefault(cell.id, cell)
        names = (other.variant, cell.variant)
        # Two cells of one variant share an id if one photograph replaces two paintings.
        allowed = other is cell or (names[0] == names[1] and other.name != cell.name)
        if not allowed and names not in reported:
            reported.add(names)
            yield suite.source.problem(
                ("methods", cell.label),
                f"{names[1]} and {names[0]} are the same configuration; drop one of them.",
            )
