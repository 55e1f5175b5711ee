"""Every mistake of a suite in one go, in the house's words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from harness import encoders
from harness.errors import Problems, UnknownNameError, listed, nearest, quoted
from harness.records import RECIPES, Claim
from harness.registry import METHODS, METRICS, Registry, quantities, settings
from harness.resources.images import ImageSource
from harness.suite import limits
from harness.suite.collection import collected
from harness.suite.schema import (  # fmt: skip
    PLACES,
    ClaimModel,
    ImageModel,
    MethodModel,
    MethodSpec,
    Seed,
    Size,
    Suite,
    SuiteModel,
    TrainingModel,
)
from harness.suite.yaml_loader import Key, Source

ADDED: dict[str, TypeAdapter[int]] = {"seed": TypeAdapter(Seed), "size": TypeAdapter(Size)}
"""What an include may add to the suite's own."""


class Checker:
    """Checks one merged suite and builds it; gathers problems instead of stopping at the first."""

    def __init__(
        self, data: dict[str, Any], source: Source, path: Path,
        read: Callable[[Path], dict[str, Any]],
    ) -> None:  # fmt: skip
        self.data, self.source, self.path, self.read = data, source, path, read
        self.problems = Problems()

    def check(self, profile: str) -> Suite | None:
        """Return the suite, or None where `problems` say why not."""
        for key, what in collected(self.data, self.path.parent, self.read):
            self._say(key, what)
        try:
            model = SuiteModel.model_validate(self.data)
        except ValidationError as error:
            self._explain(error, (), SuiteModel)
            # Methods and metrics can be checked all the same: one more round-trip saved.
            self._methods(_lenient(self.data.get("methods")))
            return None
        self._encoder(("encoder",), model.encoder)
        methods = self._methods(model.methods)
        metrics = self._metrics(model.metrics)
        excess = list(limits.too_many_cells(model, methods))
        for key, what in (*excess, *limits.repeated(model)):
            self._say(key, what)
        pairs = [] if excess else self._pairs(model)
        self._filters(model, methods)
        claims = self._claims(model, methods)
        if self.problems:
            return None
        folder = self.path.parent
        return Suite(
            name=model.name,
            description=model.description.strip(),
            profile=profile,
            encoder=model.encoder,
            precision=model.precision,
            contents={n: _source(n, image, folder) for n, image in model.contents.items()},
            styles={n: _source(n, image, folder) for n, image in model.styles.items()},
            pairs=pairs,
            methods=methods,
            exclude=model.exclude,
            include=model.include,
            seeds=model.seeds,
            sizes=model.sizes,
            metrics=metrics,
            repeats=model.repeats,
            training_folder=_relative(model.training.images, folder),
            claims=claims,
            file=self.path.name,
            data=self.data,
            source=self.source,
        )

    def _methods(self, models: Mapping[str, MethodModel | None]) -> list[MethodSpec]:
        specs = []
        for label, given in models.items():
            model = given or MethodModel()
            key: Key = ("methods", label)
            name = model.use or label
            try:
                cls = METHODS.get(name)
            except UnknownNameError as error:
                self._say((*key, "use") if model.use else key, str(error), at_key=not model.use)
                continue
            presets = getattr(cls, "presets", {})
            if model.preset is not None and model.preset not in presets:
                known = ", ".join(presets) or "none"
                what = f"{quoted(model.preset)} is not a preset of {name}: {known}."
                self._say((*key, "preset"), what + nearest(model.preset, presets))
                continue
            preset = presets[model.preset] if model.preset else {}
            params = {**preset, **model.params}
            spec = MethodSpec(label, name, params, model.axes, model.vary, model.encoder or "")
            self._params(cls, spec, key)
            specs.append(spec)
        return specs

    def _params(self, cls: type, spec: MethodSpec, key: Key) -> None:
        long = list(limits.too_long(spec))
        for place, what in long:
            self._say((*key, *place), what)
        if long:
            return
        self._build(METHODS, spec.method, spec.params, lambda loc: (*key, "params", *loc))
        if spec.encoder:
            self._encoder((*key, "encoder"), spec.encoder)
        for axis, values in spec.axes.items():
            if not values:
                self._say((*key, "axes", axis), "has no values. Give at least one.")
            for i, value in enumerate(values):
                if axis == "encoder":
                    self._encoder((*key, "axes", axis, i), value)
                    continue
                self._build(
                    METHODS,
                    spec.method,
                    {**spec.params, axis: value},
                    # Only what this value breaks: the rest is told once, at params.
                    lambda loc, i=i, axis=axis: (  # type: ignore[misc]
                        (*key, "axes", axis, i, *loc[1:]) if loc[:1] in {(axis,), ()} else None
                    ),
                    unknown_at=(*key, "axes", axis),
                )

    def _encoder(self, key: Key, spec: Any) -> None:
        try:
            encoders.check(str(spec))
        except UnknownNameError as error:
            self._say(key, str(error))

    def _build(
        self, registry: Registry[Any], name: str, params: Mapping[str, Any],
        place: Callable[[Key], Key | None], unknown_at: Key | None = None,
    ) -> Any:  # fmt: skip
        try:
            return registry.build(name, params)
        except ValidationError as error:
            fields = settings(registry.get(name))
            for item in error.errors():
                unknown = item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}
                loc = tuple(p for p in item["loc"] if isinstance(p, int) or p in params)
                key = unknown_at if unknown and unknown_at else place(loc)
                if key is not None and (not unknown_at or not unknown or key[-1] in item["loc"]):
                    self._say(key, _message(item, fields), at_key=unknown)
        return None

    def _metrics(self, entries: Sequence[str | dict[str, Any]]) -> list[Any]:
        found = []
        for i, entry in enumerate(entries):
            params = dict(entry) if isinstance(entry, dict) else {"use": entry}
            name = str(params.pop("use", ""))
            try:
                METRICS.get(name)
            except UnknownNameError as error:
                self._say(("metrics", i), str(error))
                continue
            self._found_fields(("metrics", i), name, params)
            metric = self._build(METRICS, name, params, lambda loc, i=i: ("metrics", i, *loc))  # type: ignore[misc]
            if hasattr(metric, "judge"):
                self._encoder(("metrics", i, "judge"), metric.judge)
            if metric is not None:
                found.append(metric)
        return found

    def _found_fields(self, key: Key, name: str, params: Mapping[str, Any]) -> None:
        """Refuse what a metric finds out for itself; what it does not know is told elsewhere."""
        cls = METRICS.get(name)
        own = settings(cls)
        for field in dataclasses.fields(cls):
            if field.name in params and field.name not in own:
                known = ", ".join(own) or "none"
                what = f"{name} finds this out by itself. What can be set: {known}."
                self._say((*key, field.name), what, at_key=True)

    def _pairs(self, model: SuiteModel) -> list[tuple[str, str]]:
        if model.pairs is None:
            return [(c, s) for s in model.styles for c in model.contents]
        pairs = []
        for i, pair in enumerate(model.pairs):
            for kind, known in (("content", model.contents), ("style", model.styles)):
                if kind not in pair:
                    self._say(
                        ("pairs", i), f"has no {kind}. A pair is {{content: ..., style: ...}}."
                    )
                elif pair[kind] not in known:
                    what = f"{quoted(pair[kind])} is not one of the {kind}s: {listed(known)}."
                    self._say(("pairs", i, kind), what + nearest(pair[kind], known))
            pairs.append((pair.get("content", ""), pair.get("style", "")))
        return pairs

    def _filters(self, model: SuiteModel, methods: Sequence[MethodSpec]) -> None:
        choices: dict[str, Mapping[Any, Any]] = {
            "method": model.methods, "content": model.contents, "style": model.styles,
            "seed": dict.fromkeys(model.seeds), "size": dict.fromkeys(model.sizes),
        }  # fmt: skip
        fields = {name for m in methods for name in settings(METHODS.get(m.method))}
        for kind in ("exclude", "include"):
            for i, entry in enumerate(getattr(model, kind)):
                if kind == "include":
                    self._include((kind, i), entry)
                for name, value in entry.items():
                    key: Key = (kind, i, name)
                    if name not in (*PLACES, "encoder", *fields):
                        places = ", ".join(PLACES)
                        what = f"{quoted(name)} is neither {places} nor a method's parameter."
                        self._say(key, what + nearest(name, (*PLACES, *fields)), at_key=True)
                    elif name in choices and (kind == "exclude" or name not in {"seed", "size"}):
                        for one in value if isinstance(value, list) else [value]:
                            known = choices[name]
                            if isinstance(one, (list, dict)) or one not in known:
                                what = f"{quoted(one)} is not one of {listed(known)}."
                                self._say(key, what + nearest(str(one), map(str, known)))

    def _include(self, key: Key, entry: Mapping[str, Any]) -> None:
        """Check what an include adds that no list of the suite holds."""
        if not isinstance(entry.get("method"), str):
            self._say(key, "has no method. Say which one method it adds a variant of.")
        if "encoder" in entry:
            self._encoder((*key, "encoder"), entry["encoder"])
        for kind, adapter in ADDED.items():
            values = entry.get(kind, [])
            for value in values if isinstance(values, list) else [values]:
                try:
                    adapter.validate_python(value, strict=True)
                except ValidationError as error:
                    self._say((*key, kind), _message(error.errors()[0], ()))

    def _claims(self, model: SuiteModel, methods: Sequence[MethodSpec]) -> list[Claim]:
        fields = {m.label: settings(METHODS.get(m.method)) for m in methods}
        for name, given in model.claims.items():
            key: Key = ("claims", name)
            for i, metric in enumerate((given.metric, *given.also)):
                if not quantities.known(metric):
                    where: Key = ("metric",) if i == 0 else ("also", i - 1)
                    known = [*METRICS.names(), *quantities.COSTS]
                    what = f"{quoted(metric)} is not a metric or a cost: {', '.join(known)}."
                    self._say((*key, *where), what + nearest(metric, known))
            if given.smallest and given.smallest <= 1 and self._ratio(given.metric):
                what = f"{given.smallest} is no ratio above 1, by which {given.metric} compares."
                self._say((*key, "smallest"), what)
            self._claim_factors(key, given, fields)
        return [_claim(name, given) for name, given in model.claims.items()]

    @staticmethod
    def _ratio(metric: str) -> bool:
        return quantities.measure(metric).effect == "ratio"

    def _claim_factors(
        self, key: Key, given: ClaimModel, fields: Mapping[str, Sequence[str]]
    ) -> None:
        """Check that factors are known parameters of a known method."""
        if given.factor in RECIPES and not given.method:
            return
        if given.method not in fields:
            what = f"{quoted(given.method)} is not one of the methods: {listed(fields)}."
            self._say((*key, "method"), what + nearest(given.method, fields))
            return
        known = [*fields[given.method], "encoder", "seed", "size"]
        for place, names in (
            ("factor", [given.factor]), ("where", given.where), ("across", given.across),
            ("tuned", [given.tuned] if given.tuned else []),
        ):  # fmt: skip
            for one in names:
                if one not in known:
                    what = (
                        f"{quoted(one)} is not a parameter of {given.method}: {', '.join(known)}."
                    )
                    self._say((*key, place), what + nearest(one, known))

    def _explain(self, error: ValidationError, prefix: Key, model: type[BaseModel]) -> None:
        for item in error.errors():
            loc = _clean(item["loc"])
            fields = _fields_at(model, loc[:-1])
            unknown = item["type"] == "extra_forbidden"
            self._say((*prefix, *loc), _message(item, fields), at_key=unknown)

    def _say(self, key: Key, what: str, *, at_key: bool = False) -> None:
        self.problems.append(self.source.problem(key, what, at_key=at_key))


def _claim(name: str, given: ClaimModel) -> Claim:
    values = given.model_dump(exclude={"levels", "across", "also"})
    return Claim(
        id=name,
        levels=(given.levels[0], given.levels[1]),
        across={factor: (one, other) for factor, (one, other) in given.across.items()},
        also=tuple(given.also),
        **values,
    )


def _lenient(methods: Any) -> dict[str, MethodModel | None]:
    """Return those method entries that are well-formed in themselves."""
    kept: dict[str, MethodModel | None] = {}
    for label, entry in methods.items() if isinstance(methods, dict) else ():
        try:
            kept[label] = None if entry is None else MethodModel.model_validate(entry)
        except ValidationError:
            continue
    return kept


def _source(name: str, model: ImageModel, folder: Path) -> ImageSource:
    values = model.model_dump()
    return ImageSource(**{**values, "name": name, "path": _relative(model.path, folder)})


def _relative(path: str | None, folder: Path) -> Path | None:
    return None if path is None else folder / Path(path).expanduser()


def _clean(loc: tuple[str | int, ...]) -> Key:
    """Drop what pydantic adds to a place: names of union members, `[key]`."""
    return tuple(
        p for p in loc if p not in {"[key]", "str", "dict[str,any]", "MethodModel", "none"}
    )


def _fields_at(model: type[BaseModel], loc: Key) -> list[str]:
    """Return the keys that a map at `loc` may have."""
    if loc[:1] in {("contents",), ("styles",)} and len(loc) == 2:
        return list(ImageModel.model_fields)
    if loc[:1] == ("methods",) and len(loc) == 2:
        return list(MethodModel.model_fields)
    if loc[:1] == ("training",):
        return list(TrainingModel.model_fields)
    return list(model.model_fields) if not loc else []


def _message(item: Any, fields: Sequence[str]) -> str:
    """Say in the house's words what pydantic found."""
    kind, value, last = item["type"], item["input"], str(item["loc"][-1]) if item["loc"] else ""
    shown = quoted(value)
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{quoted(last)} is not a known key: {', '.join(fields)}.{nearest(last, fields)}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", item["ctx"]["expected"]) or [item["ctx"]["expected"]]
        return f"{shown} is not one of {', '.join(choices)}.{nearest(str(value), choices)}"
    if kind == "missing":
        return "is missing."
    if kind == "value_error":
        return f"{item['ctx']['error']}".rstrip(".?") + (
            "?" if str(item["ctx"]["error"]).endswith("?") else "."
        )
    if kind == "string_pattern_mismatch":
        return f"{shown} does not match {item['ctx']['pattern']}."
    message = item["msg"][0].lower() + item["msg"][1:]
    return f"{shown}: {message.replace('input should be', 'should be')}."
