"""The contents of one MLflow run, collected before any of it is sent."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from zipfile import ZipFile

from PIL import Image as Pillow

Point: TypeAlias = tuple[str, float, int, int]
"""A metric's key, value, step, and milliseconds since the start of the run."""

PREVIEW_PIXELS = 256


@dataclass
class RunPayload:
    """Parameters, metrics and tags, and a folder whose files become the artifacts."""

    folder: Path
    params: dict[str, str] = field(default_factory=dict)
    points: Sequence[Point] = ()
    tags: dict[str, str] = field(default_factory=dict)

    def file(self, path: Path, folder: str = "") -> None:
        """Add a copy of a file under its own name, in a subfolder if one is given."""
        (self.folder / folder).mkdir(exist_ok=True)
        shutil.copyfile(path, self.folder / folder / path.name)

    def bundle(self, name: str, paths: Iterable[Path]) -> None:
        """Add files as one zip archive without compression."""
        with ZipFile(self.folder / name, "w") as file:
            for path in paths:
                file.write(path, path.name)

    def text(self, name: str, text: str) -> None:
        """Add a text as a file."""
        (self.folder / name).write_text(text, encoding="utf-8", newline="\n")

    def image(self, picture: Pillow.Image, key: str, step: int, file: Path | None = None) -> None:
        """Add an image as `MlflowClient.log_image` would, for the UI's image grids.

        That call sends four requests per image and encodes the PNG again.

        Args:
            picture: The image.
            key: The chart that it belongs to; letters, digits, `_`, `-`.
            step: Its position on the chart's slider.
            file: The same image as a PNG file, if it exists.
        """
        images = self.folder / "images"
        images.mkdir(exist_ok=True)
        now = round(time.time() * 1000)
        key = re.sub(r"[^\w.-]", "_", key)  # a record of another machine may hold a path
        name = f"{key}+step+{step}+timestamp+{now}+{uuid.uuid4()}"
        if file is not None:
            shutil.copyfile(file, images / f"{name}.png")
        else:
            picture.save(images / f"{name}.png", compress_level=1)
        _preview(picture).save(images / f"{name}+compressed.webp")
        self.tags["mlflow.loggedImages"] = "True"


def _preview(picture: Pillow.Image) -> Pillow.Image:
    scale = PREVIEW_PIXELS / max(picture.size)
    width, height = (max(1, int(side * scale)) for side in picture.size)
    return picture.resize((width, height))
