"""One unit of planned work, and what its id is computed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class ImageUse:
    """An image as used, and its origin."""

    name: str
    sha256: str  # of the file's bytes, or of the pixels of a painted study
    origin: str  # "scikit-image", a URL, a file name, "painted by nstbench"
    title: str = ""
    artist: str = ""
    year: int | None = None
    rights: str = ""
    width: int = 0  # of the file, upright
    height: int = 0
    stand_in: str | None = None  # the study or photograph that replaces the image
    why_stand_in: str = ""

    @property
    def stem(self) -> str:
        """Name of the image's file, without its suffix; the name in the suite if it has no file."""
        name = unquote(urlsplit(self.origin).path) if "://" in self.origin else self.origin
        path = PurePosixPath(name)
        return path.stem if path.suffix and not self.stand_in else self.name


@dataclass(frozen=True)
class EncoderUse:
    """The frozen loss network of a run, and the origin of its weights."""

    name: str
    sha256: str  # of the weights' file, or of the recipe of random weights
    origin: str
    warning: str = ""  # why it replaces the requested encoder
    layers: tuple[str, ...] = ()  # all available layers, in order of depth


@dataclass(frozen=True)
class TrainingUse:
    """The photographs that a method trains on."""

    origin: str
    count: int
    sha256: str  # over the sorted hashes of the files


@dataclass(frozen=True)
class CellInputs:
    """What tells the inputs of one cell apart from those of others of its method."""

    content: str = ""  # names in the suite
    style: str = ""
    content_file: str = ""  # names of the files without suffix; of images without file, `content`
    style_file: str = ""
    size: int = 0  # long edge, pixels
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Cell:
    """One unit of work. `components` determine its id; other fields are descriptive."""

    suite: str
    variant: str  # "gatys[adam]": label and distinguishing levels
    label: str  # "gatys": the suite's label alone
    method: str
    version: int
    params: Mapping[str, Any]
    levels: Mapping[str, Any]  # the axis values of this variant
    content: ImageUse
    style: ImageUse
    size: int  # long edge of content and style, pixels
    seed: int
    encoder: EncoderUse
    precision: str
    device: str  # "cpu", or the GPU's name
    training: TrainingUse | None = None
    files: Mapping[str, str] = field(default_factory=dict)  # parameter -> SHA-256 of its file
    anchor: bool = False  # a reference point, not compared with the other methods
    style_size: int | None = None  # long edge of the style that the method learns, unless `size`
    locations: tuple[str, ...] = ()  # parameters with paths that do not change the result
    uses_encoder: bool = True  # False if the method reads no layer of the encoder

    @cached_property
    def components(self) -> dict[str, Any]:
        """The values that determine the id; stored with it, to explain changes."""
        unhashed = {*self.files, *self.locations}
        return {
            "method": self.method,
            "version": self.version,
            "params": {k: v for k, v in self.params.items() if k not in unhashed},
            "files": dict(self.files),
            "content": self.content.sha256,
            "style": self.style.sha256,
            "size": self.size,
            "encoder": self.encoder.name,
            "encoder_weights": self.encoder.sha256,
            "training": self.training.sha256 if self.training else None,
            "seed": self.seed,
            "precision": self.precision,
            "device": self.device,
        } | ({"style_size": self.style_size} if self.style_size else {})

    @cached_property
    def id(self) -> str:
        """First 12 hex digits of the SHA-256 over the components' canonical JSON."""
        return digest(self.components)

    @cached_property
    def fit_id(self) -> str:
        """Like `id`, but without the content. Cells with equal `fit_id` share a fitted stylizer."""
        return digest({k: v for k, v in self.components.items() if k != "content"})

    @property
    def inputs(self) -> CellInputs:
        """The names of its images, its size and its seed."""
        content, style = self.content, self.style
        return CellInputs(content.name, style.name, content.stem, style.stem, self.size, self.seed)

    @property
    def pair(self) -> str:
        """Name of the content and style together, safe in file names and MLflow keys."""
        return f"{self.content.name}--{self.style.name}"

    @property
    def name(self) -> str:
        """Readable name of the cell: `gatys[adam]/coffee--starry-night/s0`."""
        size = f"/{self.size}px" if "size" in self.levels else ""
        return f"{self.variant}/{self.pair}{size}/s{self.seed}"


def digest(components: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the SHA-256 over canonical JSON."""
    canonical = json.dumps(components, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
