"""The images of the comparisons: the user's files, or a packaged photograph and stand-in."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from PIL import Image as Pillow

from harness.resources.images import skimage_photograph
from harness.resources.stand_ins import paint


def add_options(parser: ArgumentParser) -> None:
    """Add options for the user's own image files."""
    for kind in ("content", "style"):
        parser.add_argument(f"--{kind}", type=Path, help="an image file")


def square(source: Path | None, kind: str, size: int, folder: Path) -> Path:
    """Write the central square of an image as a PNG and return its path.

    Args:
        source: An image file, or None for a packaged photograph or stand-in.
        kind: `content` or `style`.
        size: Side in pixels.
        folder: Folder of the written file.
    """
    if source is not None:
        picture = Pillow.open(source).convert("RGB")
    elif kind == "content":
        picture = Pillow.open(skimage_photograph("astronaut")).convert("RGB")
    else:
        picture = Pillow.fromarray(paint("starry-night", 1024, 1024))
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    middle = picture.crop((left, top, left + side, top + side))
    path = folder / f"{kind}-{size}.png"
    middle.resize((size, size), Pillow.Resampling.LANCZOS).save(path)
    return path
