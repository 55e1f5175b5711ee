"""What a suite may hold, and what a checked one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from harness.errors import SuiteError, nearest
from harness.images import PHOTOGRAPHS, TEXTURES, ImageSource
from harness.precision import Precision
from harness.records import Claim, Control, Sign
from harness.studies import STUDIES
from harness.suite.marked_yaml import Key, Source

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
ClaimId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$")]
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
            (self.stand_in, "study or packaged photograph", (*STUDIES, *PHOTOGRAPHS)),
        ):
            if value is not None and value not in known:
                raise ValueError(
                    f"{value!r} is not a {kind}: {', '.join(known)}.{nearest(value, known)}"
                )
        return self


class MethodModel(_Model):
    """A method under a label of its own, with parameters and axes to vary."""

    use: str | None = None  # the label, unless given
    encoder: str | None = None  # the suite's, unless given
    preset: str | None = None
    params: dict[str, Any] = {}
    axes: dict[str, list[Any]] = {}
    vary: Vary = "product"


class ClaimModel(_Model):
    """A statement to be tested, see `records.Claim`."""

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

    images: str | None = None


class SuiteModel(_Model):
    """The file as a whole."""

    version: Literal[1]
    name: Name
    description: str = ""
    encoder: str = "auto"
    precision: Precision = "auto"
    collection: str | None = None  # a file of images: contents and styles may be lists of names
    contents: Annotated[dict[Name, ImageModel], Field(min_length=1)]
    styles: Annotated[dict[Name, ImageModel], Field(min_length=1)]
    pairs: list[dict[Literal["content", "style"], str]] | None = None
    methods: Annotated[dict[Name, MethodModel | None], Field(min_length=1)]
    exclude: list[dict[str, Any]] = []
    include: list[dict[str, Any]] = []
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    sizes: Annotated[list[Annotated[int, Field(ge=32, le=8192)]], Field(min_length=1)] = [256]
    metrics: list[str | dict[str, Any]] = ["ssim", "lpips", "content_loss", "style_loss"]
    repeats: Annotated[int, Field(ge=1, le=100)] = 10  # at most, of a quick stylization
    training: TrainingModel = TrainingModel()
    claims: dict[ClaimId, ClaimModel] = {}
    profiles: dict[Name, dict[str, Any]] = {}


@dataclass(frozen=True)
class MethodSpec:
    """A suite's entry for a method, its preset resolved."""

    label: str
    method: str
    params: Mapping[str, Any]  # preset, then the suite's own
    axes: Mapping[str, Sequence[Any]]  # `encoder` among them, where it is varied
    vary: Vary
    encoder: str = ""  # the suite's where empty

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that it names besides the suite's."""
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
    metrics: Sequence[Any]  # instances
    repeats: int
    training_folder: Path | None
    claims: Sequence[Claim]
    resolved: str  # YAML, as run: stored beside the results
    source: Source  # to point at what turns out to be wrong later

    @property
    def encoders(self) -> tuple[str, ...]:
        """The encoders that methods name, each once."""
        return tuple(dict.fromkeys(name for spec in self.methods for name in spec.encoders))

    def problem(self, key: Key, what: str) -> SuiteError:
        """Return the error that says what is wrong at `key` of the file."""
        return SuiteError([self.source.problem(key, what)])
