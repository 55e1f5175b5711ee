"""A suite: what to run, read from YAML, checked whole before anything runs.

This is the only code that sees untrusted text. Every mistake is found in one go, and each is told
with its place, its value, the choices and the nearest name.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness import marked_yaml
from harness.errors import Problem, SuiteError, UnknownNameError, nearest
from harness.images import PHOTOGRAPHS, TEXTURES, ImageSource
from harness.marked_yaml import Key, Source, dotted
from harness.registry import METHODS, METRICS, Registry
from harness.studies import STUDIES

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Vary = Literal["product", "one-at-a-time"]

PLACES = ("method", "content", "style", "seed", "size")
"""What `exclude` and `include` may name besides a method's parameters."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ImageModel(_Model):
    """A content or style image: exactly one of builtin, path, url."""

    builtin: str | None = None
    path: str | None = None
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    stand_in: str | None = None
    title: str = ""
    artist: str = ""
    year: int | None = None
    rights: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> ImageModel:
        given = [k for k in ("builtin", "path", "url") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(
                f"has {' and '.join(given) or 'no source'}; give exactly one of builtin, path, url"
            )
        if self.url and not self.sha256:
            raise ValueError("has a url without sha256; pin it, or the suite may change unseen")
        photographs = (*PHOTOGRAPHS, *TEXTURES)
        for value, kind, known in (
            (self.builtin, "packaged photograph", photographs),
            (self.stand_in, "study", tuple(STUDIES)),
        ):
            if value is not None and value not in known:
                raise ValueError(
                    f"{value!r} is not a {kind}: {', '.join(known)}.{nearest(value, known)}"
                )
        return self


class MethodModel(_Model):
    """A method under a label of its own, with parameters and axes to vary."""

    use: str | None = None  # the label, unless given
    preset: str | None = None
    params: dict[str, Any] = {}
    axes: dict[str, list[Any]] = {}
    vary: Vary = "product"


class TrainingModel(_Model):
    """The photographs to train on."""

    images: str | None = None


class SuiteModel(_Model):
    """The file as a whole."""

    version: Literal[1]
    name: Name
    description: str = ""
    encoder: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    contents: Annotated[dict[Name, ImageModel], Field(min_length=1)]
    styles: Annotated[dict[Name, ImageModel], Field(min_length=1)]
    pairs: list[dict[Literal["content", "style"], str]] | None = None
    methods: Annotated[dict[Name, MethodModel | None], Field(min_length=1)]
    exclude: list[dict[str, Any]] = []
    include: list[dict[str, Any]] = []
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    sizes: Annotated[list[Annotated[int, Field(ge=32, le=8192)]], Field(min_length=1)] = [256]
    metrics: list[str | dict[str, Any]] = ["ssim", "lpips", "content_loss", "style_loss"]
    training: TrainingModel = TrainingModel()
    profiles: dict[Name, dict[str, Any]] = {}


@dataclass(frozen=True)
class MethodSpec:
    """A suite's entry for a method, its preset resolved."""

    label: str
    method: str
    params: Mapping[str, Any]  # preset, then the suite's own
    axes: Mapping[str, Sequence[Any]]
    vary: Vary


@dataclass(frozen=True)
class Suite:
    """A checked suite with one profile applied."""

    name: str
    description: str
    profile: str
    encoder: str
    precision: str
    contents: Mapping[str, ImageSource]
    styles: Mapping[str, ImageSource]
    pairs: Sequence[tuple[str, str]]  # (content, style)
    methods: Sequence[MethodSpec]
    exclude: Sequence[Mapping[str, Any]]
    include: Sequence[Mapping[str, Any]]
    seeds: Sequence[int]
    sizes: Sequence[int]
    metrics: Sequence[Any]  # instances
    training_folder: Path | None
    resolved: str  # YAML, as run: stored beside the results
    source: Source  # to point at what turns out to be wrong later

    def problem(self, key: Key, what: str) -> SuiteError:
        """Return the error that says what is wrong at `key` of the file."""
        return SuiteError([self.source.problem(key, what)])


def load(path: Path, profile: str = "", overrides: Iterable[str] = ()) -> Suite:
    """Read and check a suite.

    Args:
        path: The YAML file; paths in it are relative to its folder.
        profile: Which of its profiles to apply; none where empty.
        overrides: `key=value`, as given to `--set`; `gatys.iterations=50` is short for
            `methods.gatys.params.iterations=50`.

    Raises:
        SuiteError: Everything that is wrong with it.
    """
    data, source = marked_yaml.load(path)
    if not isinstance(data, dict):
        raise SuiteError([Problem(str(path), "is not a map of keys to values; see the README.")])
    given = data.get("profiles")
    profiles: dict[str, Any] = given if isinstance(given, dict) else {}
    if profile and profile not in profiles:
        known = ", ".join(profiles) or "none"
        raise SuiteError(
            [Problem("--profile", f"{profile!r} is not a profile of {path}: {known}."
                     f"{nearest(profile, profiles)}")]
        )  # fmt: skip
    problems: dict[str, Problem] = {}
    suite = None
    # The other profiles are checked too: a mistake should not wait for the day they are used.
    for name in [profile, *(p for p in profiles if p != profile)]:
        merged, place = _with_profile(data, source, name)
        _override(merged, place, overrides, problems)
        checker = _Checker(merged, place, path)
        built = checker.check(name)
        problems.update({str(p): p for p in checker.problems})
        suite = suite or built
    if problems or suite is None:
        raise SuiteError(problems.values())
    return suite


def _with_profile(data: dict[str, Any], source: Source, name: str) -> tuple[dict[str, Any], Source]:
    merged = copy.deepcopy(data)
    place = copy.copy(source)
    place.moved, place.options = {}, {}
    layer = merged.get("profiles", {}).get(name) if name else None
    if isinstance(layer, dict):
        _merge(merged, layer, (), ("profiles", name), place)
    return merged, place


def _merge(
    base: dict[str, Any], layer: dict[str, Any], key: Key, origin: Key, place: Source
) -> None:
    """Lay a profile over the suite: maps merge, everything else is replaced."""
    for name, value in layer.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            _merge(base[name], value, (*key, name), (*origin, name), place)
        else:
            base[name] = copy.deepcopy(value)
            _move(value, (*key, name), (*origin, name), place)


def _move(value: Any, key: Key, origin: Key, place: Source) -> None:
    place.moved[key] = origin
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, inner in items:
        _move(inner, (*key, name), (*origin, name), place)


def _override(
    data: dict[str, Any], place: Source, overrides: Iterable[str], problems: dict[str, Problem]
) -> None:
    for text in overrides:
        option = f"--set {text}"
        name, equals, value = text.partition("=")
        if not equals:
            problems[option] = Problem(option, "has no `=`. Write --set key=value.")
            continue
        key: Key = tuple(int(p) if p.isdigit() else p for p in name.strip().split("."))
        if key[0] not in SuiteModel.model_fields and key[0] in (data.get("methods") or {}):
            inner = (
                key[1:] if key[1:2] and key[1] in MethodModel.model_fields else ("params", *key[1:])
            )
            key = ("methods", key[0], *inner)
        try:
            parsed = marked_yaml.parse(value)
            _assign(data, key, parsed)
        except SuiteError as error:
            problems[option] = Problem(option, error.problems[0].what)
        except (KeyError, TypeError, IndexError):
            problems[option] = Problem(
                option, f"{dotted(key)} does not exist.{nearest(str(key[0]), _known_heads(data))}"
            )
        else:
            place.options[key] = option


def _known_heads(data: dict[str, Any]) -> list[str]:
    return [*SuiteModel.model_fields, *(data.get("methods") or {})]


def _assign(data: Any, key: Key, value: Any) -> None:
    if key[0] not in SuiteModel.model_fields:
        raise KeyError(key[0])
    for part, following in itertools.pairwise(key):
        if isinstance(data, dict):
            if data.get(part) is None:
                data[part] = [] if isinstance(following, int) else {}
            data = data[part]
        else:
            data = data[part]
    data[key[-1]] = value


class _Checker:
    """Checks one merged suite and builds it; gathers problems instead of stopping at the first."""

    def __init__(self, data: dict[str, Any], source: Source, path: Path) -> None:
        self.data, self.source, self.path = data, source, path
        self.problems: list[Problem] = []

    def check(self, profile: str) -> Suite | None:
        try:
            model = SuiteModel.model_validate(self.data)
        except ValidationError as error:
            self._explain(error, (), SuiteModel)
            # Methods and metrics can be checked all the same: one more round-trip saved.
            self._methods(_lenient(self.data.get("methods")))
            return None
        methods = self._methods(model.methods)
        metrics = self._metrics(model.metrics)
        pairs = self._pairs(model)
        self._filters(model, methods)
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
            training_folder=_relative(model.training.images, folder),
            resolved=self._resolved(profile),
            source=self.source,
        )

    def _resolved(self, profile: str) -> str:
        plain = {k: v for k, v in self.data.items() if k != "profiles"}
        head = f"# {self.path.name}" + (f", profile {profile}" if profile else "") + "\n"
        return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)

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
                what = f"{model.preset!r} is not a preset of {name}: {known}."
                self._say((*key, "preset"), what + nearest(model.preset, presets))
                continue
            preset = presets[model.preset] if model.preset else {}
            spec = MethodSpec(label, name, {**preset, **model.params}, model.axes, model.vary)
            self._params(cls, spec, key)
            specs.append(spec)
        return specs

    def _params(self, cls: type, spec: MethodSpec, key: Key) -> None:
        self._build(METHODS, spec.method, spec.params, lambda loc: (*key, "params", *loc))
        for axis, values in spec.axes.items():
            if not values:
                self._say((*key, "axes", axis), "has no values. Give at least one.")
            for i, value in enumerate(values):
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

    def _build(
        self, registry: Registry[Any], name: str, params: Mapping[str, Any],
        place: Callable[[Key], Key | None], unknown_at: Key | None = None,
    ) -> Any:  # fmt: skip
        try:
            return registry.build(name, params)
        except ValidationError as error:
            fields = [field.name for field in dataclasses.fields(registry.get(name))]
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
            metric = self._build(METRICS, name, params, lambda loc, i=i: ("metrics", i, *loc))  # type: ignore[misc]
            if metric is not None:
                found.append(metric)
        return found

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
                    what = f"{pair[kind]!r} is not one of the {kind}s: {', '.join(known)}."
                    self._say(("pairs", i, kind), what + nearest(pair[kind], known))
            pairs.append((pair.get("content", ""), pair.get("style", "")))
        return pairs

    def _filters(self, model: SuiteModel, methods: Sequence[MethodSpec]) -> None:
        choices: dict[str, Iterable[Any]] = {
            "method": model.methods, "content": model.contents, "style": model.styles,
            "seed": model.seeds, "size": model.sizes,
        }  # fmt: skip
        fields = {f.name for m in methods for f in dataclasses.fields(METHODS.get(m.method))}
        for kind in ("exclude", "include"):
            for i, entry in enumerate(getattr(model, kind)):
                if kind == "include" and "method" not in entry:
                    self._say((kind, i), "has no method. Say which method it adds a variant of.")
                for name, value in entry.items():
                    key: Key = (kind, i, name)
                    if name not in (*PLACES, *fields):
                        what = f"{name!r} is neither {', '.join(PLACES)} nor a method's parameter."
                        self._say(key, what + nearest(name, (*PLACES, *fields)), at_key=True)
                    elif name in choices and (kind == "exclude" or name not in {"seed", "size"}):
                        for one in value if isinstance(value, list) else [value]:
                            known = list(choices[name])
                            if one not in known:
                                what = f"{one!r} is not one of {', '.join(map(str, known))}."
                                self._say(key, what + nearest(str(one), map(str, known)))

    def _explain(self, error: ValidationError, prefix: Key, model: type[BaseModel]) -> None:
        for item in error.errors():
            loc = _clean(item["loc"])
            fields = _fields_at(model, loc[:-1])
            unknown = item["type"] == "extra_forbidden"
            self._say((*prefix, *loc), _message(item, fields), at_key=unknown)

    def _say(self, key: Key, what: str, *, at_key: bool = False) -> None:
        self.problems.append(self.source.problem(key, what, at_key=at_key))


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
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    if kind in {"extra_forbidden", "unexpected_keyword_argument"}:
        return f"{last!r} is not a known key: {', '.join(fields)}.{nearest(last, fields)}"
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
