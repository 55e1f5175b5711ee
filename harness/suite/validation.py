"""Check a whole suite and report all its mistakes at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness import encoders
from harness.errors import Problems, UnknownNameError, listed, nearest, quoted
from harness.registry import METHODS, METRICS, Registry, settings
from harness.resources.images import ImageSource
from harness.suite import limits
from harness.suite.claim_validation import build_claims, claim_problems
from harness.suite.collection import resolve_names
from harness.suite.messages import describe, keys_at, strip_location
from harness.suite.schema import (  # fmt: skip
    PLACES,
    SHARED_AXES,
    ImageModel,
    MethodModel,
    MethodSpec,
    Seed,
    Size,
    Suite,
    SuiteModel,
)
from harness.suite.source import Key, Source

STYLE_SIZE: TypeAdapter[int | None] = TypeAdapter(Size | None)
"""None is the size of the content."""

INCLUDE_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    "seed": TypeAdapter(Seed),
    "size": TypeAdapter(Size),
    "style_size": STYLE_SIZE,
}
"""Values that an include may add to the lists of the suite."""


class Checker:
    """Checks and builds one suite with its profile applied; collects all mistakes."""

    def __init__(
        self, data: dict[str, Any], source: Source, path: Path,
        read: Callable[[Path], dict[str, Any]],
    ) -> None:  # fmt: skip
        self.data, self.source, self.path, self.read = data, source, path, read
        self.problems = Problems()

    def check(self, profile: str) -> Suite | None:
        """Return the suite, or None if it has `problems`."""
        for key, what in resolve_names(self.data, self.path.parent, self.read):
            self._report(key, what)
        try:
            model = SuiteModel.model_validate(self.data)
        except ValidationError as error:
            self._report_errors(error)
            # Check well-formed methods too, so that one error lists their mistakes as well.
            self._methods(_well_formed(self.data.get("methods")))
            return None
        self._encoder(("encoder",), model.encoder)
        methods = self._methods(model.methods)
        metrics = self._metrics(model.metrics)
        excess = list(limits.too_many_cells(model, methods))
        for key, what in (*excess, *limits.repeated(model)):
            self._report(key, what)
        pairs = [] if excess else self._pairs(model)
        self._filters(model, methods)
        for key, what in claim_problems(model, methods):
            self._report(key, what)
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
            style_size=model.style_size,
            metrics=metrics,
            repeats=model.repeats,
            training_folder=_relative(model.training.images, folder),
            max_unusable_percent=model.training.max_unusable_percent,
            claims=build_claims(model),
            file=self.path.name,
            folder=folder,
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
                self._report((*key, "use") if model.use else key, str(error), at_key=not model.use)
                continue
            presets = cls.presets
            if model.preset is not None and model.preset not in presets:
                known = ", ".join(presets) or "none"
                what = f"{quoted(model.preset)} is not a preset of {name}: {known}."
                self._report((*key, "preset"), what + nearest(model.preset, presets))
                continue
            preset = presets[model.preset] if model.preset else {}
            params = {**preset, **model.params}
            spec = MethodSpec(
                label, name, params, model.axes, model.vary, model.encoder or "", model.style_size
            )
            self._params(cls, spec, key)
            specs.append(spec)
        return specs

    def _params(self, cls: type, spec: MethodSpec, key: Key) -> None:
        long = list(limits.too_long(spec))
        for place, what in long:
            self._report((*key, *place), what)
        if long:
            return
        self._build(METHODS, spec.method, spec.params, lambda loc: (*key, "params", *loc))
        if spec.encoder:
            self._encoder((*key, "encoder"), spec.encoder)
        for axis, values in spec.axes.items():
            if not values:
                self._report((*key, "axes", axis), "has no values. Give at least one.")
            for i, value in enumerate(values):
                if axis == "encoder":
                    self._encoder((*key, "axes", axis, i), value)
                    continue
                if axis == "style_size":
                    self._value(STYLE_SIZE, (*key, "axes", axis, i), value)
                    continue
                self._build(
                    METHODS,
                    spec.method,
                    {**spec.params, axis: value},
                    # Skip mistakes in the fixed parameters: `params` reports them once.
                    lambda loc, i=i, axis=axis: (  # type: ignore[misc]
                        (*key, "axes", axis, i, *loc[1:]) if loc[:1] in {(axis,), ()} else None
                    ),
                    unknown_at=(*key, "axes", axis),
                )

    def _encoder(self, key: Key, spec: Any) -> None:
        try:
            encoders.check(str(spec))
        except UnknownNameError as error:
            self._report(key, str(error))

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
                    self._report(key, describe(item, fields), at_key=unknown)
        return None

    def _metrics(self, entries: Sequence[str | dict[str, Any]]) -> list[Any]:
        metrics = []
        for i, entry in enumerate(entries):
            params = dict(entry) if isinstance(entry, dict) else {"use": entry}
            name = str(params.pop("use", ""))
            try:
                METRICS.get(name)
            except UnknownNameError as error:
                self._report(("metrics", i), str(error))
                continue
            self._computed_fields(("metrics", i), name, params)
            metric = self._build(METRICS, name, params, lambda loc, i=i: ("metrics", i, *loc))  # type: ignore[misc]
            if metric is not None and metric.judge is not None:
                self._encoder(("metrics", i, "judge"), metric.judge)
            if metric is not None:
                metrics.append(metric)
        return metrics

    def _computed_fields(self, key: Key, name: str, params: Mapping[str, Any]) -> None:
        """Report fields that the metric computes itself; `_build` reports unknown ones."""
        cls = METRICS.get(name)
        own = settings(cls)
        for field in dataclasses.fields(cls):
            if field.name in params and field.name not in own:
                known = ", ".join(own) or "none"
                what = f"{name} computes this value itself. Keys that can be set: {known}."
                self._report((*key, field.name), what, at_key=True)

    def _pairs(self, model: SuiteModel) -> list[tuple[str, str]]:
        if model.pairs is None:
            return [(c, s) for s in model.styles for c in model.contents]
        pairs = []
        for i, pair in enumerate(model.pairs):
            for kind, known in (("content", model.contents), ("style", model.styles)):
                if kind not in pair:
                    self._report(
                        ("pairs", i), f"has no {kind}. A pair is {{content: ..., style: ...}}."
                    )
                elif pair[kind] not in known:
                    what = f"{quoted(pair[kind])} is not one of the {kind}s: {listed(known)}."
                    self._report(("pairs", i, kind), what + nearest(pair[kind], known))
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
                    if name not in (*PLACES, *SHARED_AXES, *fields):
                        places = ", ".join(PLACES)
                        what = f"{quoted(name)} is neither {places} nor a parameter of a method."
                        self._report(key, what + nearest(name, (*PLACES, *fields)), at_key=True)
                    elif name in choices and (kind == "exclude" or name not in {"seed", "size"}):
                        for one in value if isinstance(value, list) else [value]:
                            known = choices[name]
                            if isinstance(one, (list, dict)) or one not in known:
                                what = f"{quoted(one)} is not one of {listed(known)}."
                                self._report(key, what + nearest(str(one), map(str, known)))

    def _include(self, key: Key, entry: Mapping[str, Any]) -> None:
        """Check values of an include that are in no list of the suite."""
        if not isinstance(entry.get("method"), str):
            self._report(
                key, "needs one method. Add `method: LABEL`, the method to add a variant of."
            )
        if "encoder" in entry:
            self._encoder((*key, "encoder"), entry["encoder"])
        for kind, adapter in INCLUDE_ADAPTERS.items():
            values = entry.get(kind, [])
            for value in values if isinstance(values, list) else [values]:
                self._value(adapter, (*key, kind), value)

    def _value(self, adapter: TypeAdapter[Any], key: Key, value: Any) -> None:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as error:
            self._report(key, describe(error.errors()[0], ()))

    def _report_errors(self, error: ValidationError) -> None:
        for item in error.errors():
            key = strip_location(item["loc"])
            unknown = item["type"] == "extra_forbidden"
            self._report(key, describe(item, keys_at(key[:-1])), at_key=unknown)

    def _report(self, key: Key, what: str, *, at_key: bool = False) -> None:
        self.problems.append(self.source.problem(key, what, at_key=at_key))


def _well_formed(methods: Any) -> dict[str, MethodModel | None]:
    """Return the method entries that have no mistakes of their own."""
    valid: dict[str, MethodModel | None] = {}
    for label, entry in methods.items() if isinstance(methods, dict) else ():
        try:
            valid[label] = None if entry is None else MethodModel.model_validate(entry)
        except ValidationError:
            continue
    return valid


def _source(name: str, model: ImageModel, folder: Path) -> ImageSource:
    values = model.model_dump()
    return ImageSource(**{**values, "name": name, "path": _relative(model.path, folder)})


def _relative(path: str | None, folder: Path) -> Path | None:
    return None if path is None else folder / Path(path).expanduser()
