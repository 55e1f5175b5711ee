"""The keys of a suite file, and the checked suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from harness.errors import SuiteError, nearest, quoted
from harness.records import Claim, Control, Sign
from harness.resources.images import PHOTOGRAPHS, TEXTURES, ImageSource
from harness.resources.precision import Precision
from harness.resources.stand_ins import STUDIES
from harness.resources.training_images import MAX_UNUSABLE_PERCENT
from harness.suite.source import Key, Source

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
ClaimId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
Vary = Literal["product", "one-at-a-time"]
Seed = Annotated[int, Field(ge=0)]
Size = Annotated[int, Field(ge=32, le=8192)]

RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{i}" for port in ("com", "lpt") for i in range(10)),
}
"""Windows allows no folder with these names, and results may be copied there."""


def _folder(name: str) -> str:
    if name in RESERVED:
        raise ValueError(
            f"{name!r} is reserved on Windows and cannot name a folder; choose another"
        )
    return name


def _path(text: str) -> str:
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"{quoted(text)} starts with the home folder of an unknown user") from None
    return text


def _url(text: str) -> str:
    try:
        host = urlsplit(text).hostname
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is not a valid URL: {error}") from None
    if not host:
        raise ValueError(f"{quoted(text)} has no host name")
    return text


FilePath = Annotated[str, AfterValidator(_path)]
Url = Annotated[str, Field(pattern=r"^https?://"), AfterValidator(_url)]

SHARED_AXES = ("encoder", "style_size")
"""Axes that every method has besides its parameters; also keys of its entry and of the suite."""

PLACES = ("method", "content", "style", "seed", "size")
"""Keys of `exclude` and `include` besides a method's parameters."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ImageModel(_Model):
    """A content or style image: exactly one of builtin, path, url."""

    builtin: str | None = None
    path: FilePath | None = None
    url: Url | None = None
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
            raise ValueError("has a url without sha256; add it, so that a changed file is detected")
        photographs = (*PHOTOGRAPHS, *TEXTURES)
        for value, kind, known in (
            (self.builtin, "packaged photograph", photographs),
            (self.stand_in, "study or packaged photograph", (*STUDIES, *PHOTOGRAPHS)),
        ):
            if value is not None and value not in known:
                raise ValueError(
                    f"{quoted(value)} is not a {kind}: {', '.join(known)}.{nearest(value, known)}"
                )
        return self


class MethodModel(_Model):
    """A method with its parameters and the axes to vary, under a label."""

    use: str | None = None  # default: the label
    encoder: str | None = None  # default: the suite's
    style_size: Size | None = None  # default: the suite's
    preset: str | None = None
    params: dict[str, Any] = {}
    axes: dict[str, list[Any]] = {}
    vary: Vary = "product"


class ClaimModel(_Model):
    """A statement to test, see `records.Claim`."""

    statement: str
    source: str = ""
    method: str = ""
    factor: str
    levels: Annotated[list[Any], Field(min_length=2, max_length=2)]
    where: dict[str, Any] = {}
    across: dict[str, Annotated[list[Any], Field(min_length=2, max_length=2)]] = {}
    tuned: str = ""
    metric: str
    also: list[str] = []
    predicts: Sign
    smallest: Annotated[float, Field(gt=0)] | None = None
    control: Control = ""


class TrainingModel(_Model):
    """The photographs to train on."""

    images: FilePath | None = None
    max_unusable_percent: Annotated[float, Field(ge=0, le=100)] = MAX_UNUSABLE_PERCENT


class SuiteModel(_Model):
    """The file as a whole."""

    version: Literal[1]
    name: Annotated[Name, AfterValidator(_folder)]
    description: str = ""
    encoder: str = "auto"
    precision: Precision = "auto"
    collection: str | None = None  # then contents and styles may be lists of names
    contents: Annotated[dict[Name, ImageModel], Field(min_length=1)]
    styles: Annotated[dict[Name, ImageModel], Field(min_length=1)]
    pairs: list[dict[Literal["content", "style"], str]] | None = None
    methods: Annotated[dict[Name, MethodModel | None], Field(min_length=1)]
    exclude: Annotated[list[dict[str, Any]], Field(max_length=1000)] = []
    include: Annotated[list[dict[str, Any]], Field(max_length=1000)] = []
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0]
    sizes: Annotated[list[Size], Field(min_length=1)] = [256]
    style_size: Size | None = None  # of the style that methods learn; default: the content's size
    metrics: list[str | dict[str, Any]] = [
        "ssim", "lpips", "content_loss", "style_loss", "noise_sigma", "gamut",
    ]  # fmt: skip
    repeats: Annotated[int, Field(ge=1, le=100)] = 10  # maximum, for fast stylizations
    training: TrainingModel = TrainingModel()
    claims: Annotated[dict[ClaimId, ClaimModel], Field(max_length=200)] = {}
    profiles: dict[Name, dict[str, Any]] = {}


@dataclass(frozen=True)
class MethodSpec:
    """A suite's entry for a method, its preset resolved."""

    label: str
    method: str
    params: Mapping[str, Any]  # preset, then the suite's own
    axes: Mapping[str, Sequence[Any]]  # includes SHARED_AXES that vary
    vary: Vary
    encoder: str = ""  # empty: the suite's
    style_size: int | None = None  # None: the suite's

    @property
    def encoders(self) -> tuple[str, ...]:
        """Encoders that it uses besides the suite's."""
        return tuple(dict.fromkeys(filter(None, (self.encoder, *self.axes.get("encoder", ())))))


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
    style_size: int | None
    metrics: Sequence[Any]  # instances
    repeats: int
    training_folder: Path | None
    max_unusable_percent: float  # of the training photographs
    claims: Sequence[Claim]
    file: str  # name of the suite file
    folder: Path  # of the suite file: paths are relative to it
    data: Mapping[str, Any]  # the file with the profile and --set applied
    source: Source  # for errors that later stages find

    @cached_property
    def resolved(self) -> str:
        """The suite as run, in YAML; it is stored beside the results."""
        plain = {k: v for k, v in self.data.items() if k not in {"profiles", "collection"}}
        head = f"# {self.file}" + (f", profile {self.profile}" if self.profile else "") + "\n"
        return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Encoders that methods and includes use, each once."""
        named = [name for spec in self.methods for name in spec.encoders]
        named += [entry["encoder"] for entry in self.include if entry.get("encoder")]
        return tuple(dict.fromkeys(named))

    def problem(self, key: Key, what: str) -> SuiteError:
        """Return an error at the position of `key` in the file."""
        return SuiteError([self.source.problem(key, what)])
